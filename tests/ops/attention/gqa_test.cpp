// gqa against its formula in double; chunks and threads.
// covers: gqa_tiled
#include "ops/attention/gqa.hpp"

#include <algorithm>
#include <vector>

#include "catch.hpp"
#include "ops/attention/attention_kernels.hpp"
#include "ops/attention/gqa_fixture.hpp"
#include "ops/attention/gqa_paths.hpp"
#include "ops/attention/paged_cache.hpp"

using namespace ktx;
using namespace ktx::test;

namespace {

PagedCache cache_of(const GqaSequence& s) {
  return {graph::KvFormat::f32, cache_row(s.params), graph::pages_of(s.total())};
}

using GqaFunction = void (*)(const ops::GqaArgs&, hw::WorkerPool&) noexcept;

/// Outputs of all tokens by `function`, taken `step` at a time.
std::vector<float> run_on(const GqaSequence& s, PagedCache& pages,
                          const ops::AttentionKernel& kernel, int threads, int64_t step,
                          GqaFunction function, size_t scratch_bytes) {
  hw::WorkerPool pool(threads);
  GuardedScratch scratch(scratch_bytes);
  std::vector<float> out(size_t(s.total() * s.q_width()));
  auto args = gqa_args(s, pages.cache, out.data());
  args.scratch = scratch.data();
  for (int64_t t = 0; t < s.total(); t += step) {
    const ops::SequenceRows rows{t, std::min(step, s.total() - t), t, pages.order.data(), &kernel};
    args.sequences = {&rows, 1};
    function(args, pool);
  }
  REQUIRE(scratch.intact());
  return out;
}

std::vector<float> run(const GqaSequence& s, const ops::AttentionKernel& kernel, int threads,
                       int64_t step) {
  auto pages = cache_of(s);
  return run_on(s, pages, kernel, threads, step, ops::gqa,
                ops::gqa_scratch_bytes({&kernel}, s.params, {.rows = step}, threads));
}

std::vector<float> run_ref(const GqaSequence& s, PagedCache& pages) {
  std::vector<float> out(size_t(s.total() * s.q_width()));
  auto args = gqa_args(s, pages.cache, out.data());
  const ops::SequenceRows rows{.rows = s.total(), .pages = pages.order.data()};
  args.sequences = {&rows, 1};
  ops::gqa_ref(args);
  return out;
}
std::vector<float> run_ref(const GqaSequence& s) {
  auto pages = cache_of(s);
  return run_ref(s, pages);
}

/// The same on tiles, with a cache that holds all tokens.
std::vector<float> run_tiled(const GqaSequence& s, const ops::AttentionKernel& kernel, int threads,
                             int64_t step) {
  auto pages = cache_of(s);
  run_ref(s, pages);
  return run_on(s, pages, kernel, threads, step, ops::gqa_tiled,
                ops::gqa_tiled_scratch_bytes(s.params, {.rows = step}, threads));
}

std::vector<GqaSequence> sequences() {
  return {
      make_gqa({.heads = 1, .kv_heads = 1, .head = 16}, 16, 0, 1, 1),
      make_gqa({.heads = 8, .kv_heads = 2, .head = 32}, 32, 150, 50, 2),
      make_gqa({.heads = 6, .kv_heads = 3, .head = 33}, 10, 100, 37, 3),
      make_gqa({.heads = 16, .kv_heads = 1, .head = 64}, 64, 0, 70, 4),
      make_gqa({.heads = 4, .kv_heads = 4, .head = 128, .window = 40}, 128, 90, 33, 5),
      make_gqa({.heads = 10, .kv_heads = 2, .head = 24, .window = 1}, 24, 20, 5, 6),
  };
}

}  // namespace

TEST_CASE("gqa: agrees with the formula, whole, in chunks and token by token") {
  for (const GqaSequence& s : sequences()) {
    const auto expected = run_ref(s);
    for (const auto* kernel : usable_attention_kernels()) {
      for (int64_t step : {s.total(), int64_t(64), int64_t(17), int64_t(1)}) {
        INFO(kernel->name << ", " << s.params.heads << " heads of " << s.params.head
                          << ", steps of " << step);
        REQUIRE(relative_distance(run(s, *kernel, 2, step), expected) < bound_of(*kernel));
      }
    }
  }
}

TEST_CASE("gqa: the number of threads does not change a bit") {
  const ops::AttentionKernel& kernel = ops::best_attention_kernel(hw::usable_isa());
  for (const GqaSequence& s : sequences()) {
    for (int64_t step : {int64_t(1), s.total()}) {
      const auto one = run(s, kernel, 1, step);
      for (int threads : {2, 3, 5}) REQUIRE(run(s, kernel, threads, step) == one);
    }
  }
}

TEST_CASE("gqa: on tiles, for any number of tokens and of threads") {
  for (const GqaSequence& s : sequences()) {
    const auto expected = run_ref(s);
    for (const auto* kernel : usable_tile_kernels()) {
      for (int64_t step : {s.total(), int64_t(64), int64_t(17)}) {
        INFO(kernel->name << ", " << s.params.heads << " heads of " << s.params.head
                          << ", steps of " << step);
        const auto one = run_tiled(s, *kernel, 1, step);
        REQUIRE(relative_distance(one, expected) < bound_of(*kernel));
        for (int threads : {2, 5}) REQUIRE(run_tiled(s, *kernel, threads, step) == one);
      }
    }
  }
}

TEST_CASE("gqa: tiles are used for many rows in enough tasks") {
  const graph::GqaParams p{.heads = 32, .kv_heads = 8, .head = 128};
  const graph::GqaParams one_head{.heads = 4, .kv_heads = 1, .head = 128};
  for (const int64_t speed : {15, 80}) {
    const ops::AttentionTiles tiles{.speed = speed};
    CHECK_FALSE(ops::tiles_are_faster(tiles, p, 1));
    CHECK(ops::tiles_are_faster(tiles, p, 32) == (speed == 80));
    CHECK(ops::tiles_are_faster(tiles, p, 2048));
    CHECK_FALSE(ops::tiles_are_faster(tiles, one_head, 32));
    CHECK(ops::tiles_are_faster(tiles, one_head, 2048));
  }
}

TEST_CASE("gqa: a long cache is split into key ranges") {
  const GqaSequence s = make_gqa({.heads = 4, .kv_heads = 2, .head = 16}, 16, 1500, 3, 9);
  const ops::AttentionKernel& kernel = ops::best_attention_kernel(hw::usable_isa());
  const auto expected = run_ref(s);
  for (int64_t step : {int64_t(1), int64_t(300)}) {
    REQUIRE(relative_distance(run(s, kernel, 3, step), expected) < bound_of(kernel));
  }
}

TEST_CASE("gqa_ref: one key is returned as it is; a window of one sees itself alone") {
  const GqaSequence s = make_gqa({.heads = 2, .kv_heads = 1, .head = 8, .window = 1}, 8, 0, 4, 7);
  const auto out = run_ref(s);
  for (int64_t t = 0; t < 4; ++t) {
    for (int64_t i = 0; i < 16; ++i) {
      CHECK(out[size_t(t * 16 + i)] == Approx(s.v[size_t(t * (s.width() + 3) + i % 8)]));
    }
  }
}
