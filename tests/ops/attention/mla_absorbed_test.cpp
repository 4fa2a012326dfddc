// mla on batches: sequences in both phases at once, pages out of order, every cache format.
#include <atomic>
#include <vector>

#include "catch.hpp"
#include "ops/attention/attention_tiles.hpp"
#include "ops/attention/batch_check.hpp"
#include "ops/attention/mla.hpp"
#include "ops/attention/mla_fixture.hpp"
#include "ops/attention/paged_cache.hpp"

using namespace ktx;
using namespace ktx::test;
using graph::KvFormat;

namespace {

constexpr int64_t positions = 1000;

graph::MlaParams small_params() {
  graph::MlaParams p;
  p.heads = 5;
  p.nope = 24;
  p.rope = 6;
  p.v = 20;
  p.kv_lora = 150;  // groups of 128 and of 22
  return p;
}

/// Values for the rows of a batch, at any positions.
MlaSequence make_rows(int64_t rows, const graph::MlaParams& params = small_params()) {
  MlaSequence s = make_mla(params, rows, 31);
  s.rope = ops::RopeTable(s.params.rotary, positions);
  return s;
}

struct Mla {
  const MlaSequence& s;

  int64_t width() const { return s.out_width(); }
  ops::MlaArgs args(const ops::KvPages& cache, float* out) const { return mla_args(s, cache, out); }
  size_t scratch_bytes(std::initializer_list<const ops::AttentionKernel*> kernels,
                       const ops::BatchShape& most, int threads) const {
    return ops::mla_scratch_bytes(kernels, s.params, s.k_b[0], s.v_b[0], most, threads);
  }
  static constexpr auto run = ops::mla;
  static constexpr auto ref = ops::mla_ref;
};

void check(const MlaSequence& s, const Batch& batch) {
  check_batch(Mla{s}, batch);
}

}  // namespace

TEST_CASE("mla: a batch of one to eight rows a sequence, at the borders of pages") {
  const MlaSequence s = make_rows(8 * 9 / 2 * 8);
  for (const KvFormat format : cache_formats)
    for (const auto* kernel : usable_attention_kernels()) {
      INFO(graph::info(format).name);
      std::vector<Batch::Part> parts;
      for (const int64_t past : {0, 1, 63, 64, 65, 127, 128, 190})
        for (int64_t rows = 1; rows <= 8; ++rows) parts.push_back({rows, past, kernel});
      check(s, Batch(format, cache_row(s.params), parts));
    }
}

TEST_CASE("mla: sequences that decode together behind contexts of 1 to 1000 tokens") {
  const MlaSequence s = make_rows(9);
  for (const KvFormat format : cache_formats)
    for (const auto* kernel : usable_attention_kernels()) {
      INFO(graph::info(format).name);
      std::vector<Batch::Part> parts;
      for (const int64_t context : {1000, 1, 63, 256, 64, 65, 513, 255, 257})
        parts.push_back({1, context - 1, kernel});
      check(s, Batch(format, cache_row(s.params), parts));
    }
}

TEST_CASE("mla: a token of few heads attends in floats where there are tiles, of many on tiles") {
  static void (*attend)(const ops::LatentAttendArgs&) noexcept;
  static std::atomic<int> calls;
  for (const auto* kernel : usable_attention_kernels()) {
    if (kernel->tiles == nullptr) continue;
    ops::AttentionTiles tiles = *kernel->tiles;
    attend = tiles.attend_latents;
    tiles.attend_latents = [](const ops::LatentAttendArgs& args) noexcept {
      ++calls;
      attend(args);
    };
    ops::AttentionKernel counting = *kernel;
    counting.tiles = &tiles;
    for (const int heads : {5, 32, 40}) {
      INFO(kernel->name << ", " << heads << " heads");
      graph::MlaParams params = small_params();
      params.heads = heads;
      calls = 0;
      check(make_rows(1, params), Batch(KvFormat::bf16, cache_row(params), {{1, 300, &counting}}));
      CHECK((calls > 0) == (heads > 5));
    }
  }
}

TEST_CASE("mla: decode rows and prompts in one batch, in any order") {
  const MlaSequence s = make_rows(600);
  for (const KvFormat format : cache_formats)
    for (const auto* kernel : usable_attention_kernels()) {
      INFO(graph::info(format).name);
      check(s, Batch(format, cache_row(s.params),
                     {{1, 500, kernel},
                      {140, 0, kernel},
                      {4, 129, kernel},
                      {40, 300, kernel},
                      {1, 0, kernel},
                      {130, 65, kernel},
                      {2, 640, kernel}}));
    }
}

TEST_CASE("mla: sequences of one batch may have kernels of their own") {
  const MlaSequence s = make_rows(300);
  const auto* ref = &ops::attention_kernels().back();
  const auto* best = &ops::best_attention_kernel(hw::usable_isa());
  check(s, Batch(KvFormat::bf16, cache_row(s.params),
                 {{1, 200, ref}, {1, 200, best}, {150, 0, best}, {2, 64, ref}}));
}

TEST_CASE("mla: one to sixteen sequences, alone or not the same") {
  const MlaSequence s = make_rows(16);
  const auto* kernel = &ops::best_attention_kernel(hw::usable_isa());
  for (int64_t count = 1; count <= 16; ++count) {
    std::vector<Batch::Part> parts;
    for (int64_t i = 0; i < count; ++i) parts.push_back({1, i * 43 % 680, kernel});
    check(s, Batch(KvFormat::fp8, cache_row(s.params), parts));
  }
}

TEST_CASE("mla: rows of a sequence choose their matmul kernel, not those of the batch") {
  MlaSequence s = make_rows(60);
  static int64_t prefilled = 0;
  prefilled = 0;
  ops::MatmulKernel counting = *ops::find_matmul_kernel("ref");
  counting.run = [](const ops::MatmulArgs& args) noexcept {
    prefilled += args.x.tokens;
    ops::find_matmul_kernel("ref")->run(args);
  };
  for (auto* heads : {&s.k_b, &s.v_b})
    for (ops::PackedMatrix& matrix : *heads) matrix.prefill = &counting;
  const auto* kernel = &ops::attention_kernels().back();
  const Batch batch(
      KvFormat::f32, cache_row(s.params),
      {{1, 100, kernel}, {4, 60, kernel}, {1, 0, kernel}, {9, 200, kernel}, {2, 130, kernel}});
  run_batch(Mla{s}, batch, batch.sequences, 1);
  CHECK(prefilled == 9 * s.params.heads * 2);  // k_b and v_b
}

TEST_CASE("mla: long contexts of many heads fill more than one pass") {
  graph::MlaParams p = small_params();
  p.heads = 128;
  p.kv_lora = 32;
  const MlaSequence s = make_rows(32, p);
  for (const auto isa : {hw::Isa::avx512, hw::Isa::avx512_bf16}) {
    const auto* kernel = &ops::best_attention_kernel(std::min(hw::usable_isa(), isa));
    const std::vector<Batch::Part> parts(16, {2, 690, kernel});  // 16 x 6 or 3 splits of 256 rows
    check(s, Batch(KvFormat::bf16, cache_row(s.params), parts));
  }
}

TEST_CASE("mla: sequences that share the pages of a prefix") {
  const MlaSequence s = make_rows(8);
  for (const auto* kernel : usable_attention_kernels()) {
    Batch batch(KvFormat::bf16, cache_row(s.params), {{3, 130, kernel}, {5, 140, kernel}});
    // The second takes over the first two pages of the first.
    std::vector<int32_t> pages(batch.sequences[1].pages, batch.sequences[1].pages + 3);
    std::copy_n(batch.sequences[0].pages, 2, pages.begin());
    batch.sequences[1].pages = pages.data();
    check(s, batch);
  }
}

TEST_CASE("mla: the cache gets the rows, rotated, and nothing else") {
  const MlaSequence s = make_rows(7);
  const auto* kernel = &ops::best_attention_kernel(hw::usable_isa());
  for (const KvFormat format : cache_formats) {
    const Batch batch(format, cache_row(s.params), {{3, 62, kernel}, {4, 0, kernel}});
    PagedCache ours = batch.pages, theirs = batch.pages;
    std::vector<float> out(size_t(batch.rows * s.out_width()));
    GuardedScratch scratch(ops::mla_scratch_bytes({kernel}, s.params, s.k_b[0], s.v_b[0],
                                                  {.rows = 7, .sequences = 2}, 2));
    auto args = mla_args(s, ours.cache, out.data());
    args.sequences = batch.sequences;
    args.scratch = scratch.data();
    ops::mla(args, pool_of(2));
    args.cache = theirs.cache;
    ops::mla_ref(args);
    REQUIRE(
        std::equal(ours.bytes.data(), ours.bytes.data() + ours.bytes.size(), theirs.bytes.data()));
  }
}
