// gqa on batches: sequences in both phases at once, pages out of order, every cache format.
#include <vector>

#include "catch.hpp"
#include "ops/attention/batch_check.hpp"
#include "ops/attention/gqa.hpp"
#include "ops/attention/gqa_fixture.hpp"
#include "ops/attention/paged_cache.hpp"

using namespace ktx;
using namespace ktx::test;
using graph::KvFormat;

namespace {

/// Values for the rows of a batch, at any positions.
GqaSequence make_rows(int64_t rows, int window) {
  GqaSequence s =
      make_gqa({.heads = 12, .kv_heads = 3, .head = 20, .window = window}, 12, 0, rows, 31);
  s.rope = ops::RopeTable(s.params.rotary, 700);
  return s;
}

struct Gqa {
  const GqaSequence& s;

  int64_t width() const { return s.q_width(); }
  ops::GqaArgs args(const ops::KvPages& cache, float* out) const { return gqa_args(s, cache, out); }
  size_t scratch_bytes(std::initializer_list<const ops::AttentionKernel*> kernels,
                       const ops::BatchShape& most, int threads) const {
    return ops::gqa_scratch_bytes(kernels, s.params, most, threads);
  }
  static constexpr auto run = ops::gqa;
  static constexpr auto ref = ops::gqa_ref;
};

void check(const GqaSequence& s, const Batch& batch) {
  check_batch(Gqa{s}, batch);
}

}  // namespace

TEST_CASE("gqa: a batch of one to eight rows a sequence, at the borders of pages and windows") {
  for (const int window : {0, 64, 70}) {
    const GqaSequence s = make_rows(8 * 9 / 2 * 8, window);
    for (const KvFormat format : cache_formats)
      for (const auto* kernel : usable_attention_kernels()) {
        INFO(graph::info(format).name << ", window " << window);
        std::vector<Batch::Part> parts;
        for (const int64_t past : {0, 1, 63, 64, 65, 127, 128, 190})
          for (int64_t rows = 1; rows <= 8; ++rows) parts.push_back({rows, past, kernel});
        check(s, Batch(format, cache_row(s.params), parts));
      }
  }
}

TEST_CASE("gqa: decode rows and prompts in one batch, in any order") {
  for (const int window : {0, 100}) {
    const GqaSequence s = make_rows(600, window);
    for (const KvFormat format : cache_formats)
      for (const auto* kernel : usable_attention_kernels()) {
        INFO(graph::info(format).name << ", window " << window);
        check(s, Batch(format, cache_row(s.params),
                       {{1, 500, kernel},
                        {240, 0, kernel},
                        {4, 129, kernel},
                        {40, 300, kernel},
                        {1, 0, kernel},
                        {200, 65, kernel},
                        {2, 640, kernel}}));
      }
  }
}

TEST_CASE("gqa: sequences of one batch may have kernels of their own") {
  const GqaSequence s = make_rows(300, 0);
  const auto* ref = &ops::attention_kernels().back();
  const auto* best = &ops::best_attention_kernel(hw::usable_isa());
  check(s, Batch(KvFormat::bf16, cache_row(s.params),
                 {{1, 200, ref}, {1, 200, best}, {150, 0, best}, {2, 64, ref}}));
}

TEST_CASE("gqa: one to sixteen sequences, alone or not the same") {
  const GqaSequence s = make_rows(16, 0);
  const auto* kernel = &ops::best_attention_kernel(hw::usable_isa());
  for (int64_t count = 1; count <= 16; ++count) {
    std::vector<Batch::Part> parts;
    for (int64_t i = 0; i < count; ++i) parts.push_back({1, i * 43 % 680, kernel});
    check(s, Batch(KvFormat::fp8, cache_row(s.params), parts));
  }
}

TEST_CASE("gqa: sequences that share the pages of a prefix") {
  const GqaSequence s = make_rows(8, 0);
  for (const auto* kernel : usable_attention_kernels()) {
    Batch batch(KvFormat::bf16, cache_row(s.params), {{3, 130, kernel}, {5, 140, kernel}});
    // The second takes over the first two pages of the first.
    std::vector<int32_t> pages(batch.sequences[1].pages, batch.sequences[1].pages + 3);
    std::copy_n(batch.sequences[0].pages, 2, pages.begin());
    batch.sequences[1].pages = pages.data();
    check(s, batch);
  }
}

TEST_CASE("gqa: many long sequences of many heads fill more than one pass") {
  GqaSequence s = make_gqa({.heads = 64, .kv_heads = 2, .head = 16}, 16, 0, 136, 5);
  s.rope = ops::RopeTable(s.params.rotary, 700);
  const auto* kernel = &ops::best_attention_kernel(std::min(hw::usable_isa(), hw::Isa::avx512));
  std::vector<Batch::Part> parts(12, {8, 690, kernel});  // 6 splits of 512 rows each
  parts.resize(52, {1, 60, kernel});                     // more sequences than a pass takes
  check(s, Batch(KvFormat::fp8, cache_row(s.params), parts));
}
