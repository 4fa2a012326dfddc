// gqa against its formula in double; chunks and threads.
// covers: gqa_split, gqa_tiled
#include "ops/attention/gqa.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "catch.hpp"
#include "core/base/buffer.hpp"
#include "ops/attention/attention_kernels.hpp"
#include "ops/attention/gqa_paths.hpp"
#include "ops/ops_numbers.hpp"

using namespace ktx;
using test::random_floats;

namespace {

/// A sequence of `past + tokens` tokens whose last `tokens` are asked for.
struct Sequence {
  graph::GqaParams params;
  int64_t past = 0, tokens = 0;
  std::vector<float> q, k, v;
  ops::RopeTable rope;

  int64_t width() const { return int64_t(params.kv_heads) * params.head; }
  int64_t q_width() const { return int64_t(params.heads) * params.head; }
  int64_t total() const { return past + tokens; }
};

Sequence make_sequence(graph::GqaParams params, int rotated, int64_t past, int64_t tokens,
                       uint32_t seed) {
  params.scale = 1 / std::sqrt(float(params.head));
  for (int i = 0; i < rotated / 2; ++i) {
    params.rotary.frequency.push_back(std::pow(10000.0f, -2 * float(i) / float(rotated)));
  }
  Sequence s{params, past, tokens, {}, {}, {}, {}};
  s.q = random_floats(s.total() * (s.q_width() + 1), seed, 2);
  s.k = random_floats(s.total() * (s.width() + 2), seed + 1, 2);
  s.v = random_floats(s.total() * (s.width() + 3), seed + 2);
  s.rope = ops::RopeTable(params.rotary, s.total());
  return s;
}

struct Caches {
  explicit Caches(const Sequence& s)
      : k(size_t(s.total() * s.width()), std::nanf("")),
        v(size_t(s.total() * s.width()), std::nanf("")) {}
  std::vector<float> k, v;
};

ops::GqaArgs make_args(const Sequence& s, Caches& caches, int64_t begin, int64_t end, float* out) {
  return {.params = &s.params,
          .rope = &s.rope,
          .q = s.q.data() + begin * (s.q_width() + 1),
          .q_stride = s.q_width() + 1,
          .k = s.k.data() + begin * (s.width() + 2),
          .k_stride = s.width() + 2,
          .v = s.v.data() + begin * (s.width() + 3),
          .v_stride = s.width() + 3,
          .out = out,
          .out_stride = s.q_width(),
          .k_cache = caches.k.data(),
          .v_cache = caches.v.data(),
          .past = begin,
          .tokens = end - begin};
}

/// Outputs of all tokens, taken `step` at a time.
std::vector<float> run(const Sequence& s, const ops::AttentionKernel& kernel, int threads,
                       int64_t step) {
  hw::WorkerPool pool(threads);
  Caches caches(s);
  test::GuardedScratch scratch(ops::gqa_scratch_bytes(kernel, s.params, step, threads));
  std::vector<float> out(size_t(s.total() * s.q_width()));
  for (int64_t t = 0; t < s.total(); t += step) {
    auto args =
        make_args(s, caches, t, std::min(t + step, s.total()), out.data() + t * s.q_width());
    args.kernel = &kernel;
    args.scratch = scratch.data();
    ops::gqa(args, pool);
  }
  REQUIRE(scratch.intact());
  return out;
}

/// The same on tiles, with caches that hold all tokens.
std::vector<float> run_tiled(const Sequence& s, const ops::AttentionKernel& kernel, int threads,
                             int64_t step) {
  hw::WorkerPool pool(threads);
  Caches caches(s);
  std::vector<float> out(size_t(s.total() * s.q_width()));
  ops::gqa_ref(make_args(s, caches, 0, s.total(), out.data()));
  test::GuardedScratch scratch(ops::gqa_tiled_scratch_bytes(s.params, step, threads));
  for (int64_t t = 0; t < s.total(); t += step) {
    auto args =
        make_args(s, caches, t, std::min(t + step, s.total()), out.data() + t * s.q_width());
    args.kernel = &kernel;
    args.scratch = scratch.data();
    ops::gqa_tiled(args, pool);
  }
  REQUIRE(scratch.intact());
  return out;
}

std::vector<float> run_ref(const Sequence& s) {
  Caches caches(s);
  std::vector<float> out(size_t(s.total() * s.q_width()));
  ops::gqa_ref(make_args(s, caches, 0, s.total(), out.data()));
  return out;
}

std::vector<Sequence> sequences() {
  return {
      make_sequence({.heads = 1, .kv_heads = 1, .head = 16}, 16, 0, 1, 1),
      make_sequence({.heads = 8, .kv_heads = 2, .head = 32}, 32, 150, 50, 2),
      make_sequence({.heads = 6, .kv_heads = 3, .head = 33}, 10, 100, 37, 3),
      make_sequence({.heads = 16, .kv_heads = 1, .head = 64}, 64, 0, 70, 4),
      make_sequence({.heads = 4, .kv_heads = 4, .head = 128, .window = 40}, 128, 90, 33, 5),
      make_sequence({.heads = 10, .kv_heads = 2, .head = 24, .window = 1}, 24, 20, 5, 6),
  };
}

}  // namespace

TEST_CASE("gqa: agrees with the formula, whole, in chunks and token by token") {
  for (const Sequence& s : sequences()) {
    const auto expected = run_ref(s);
    for (const auto* kernel : test::usable_attention_kernels()) {
      for (int64_t step : {s.total(), int64_t(64), int64_t(17), int64_t(1)}) {
        INFO(kernel->name << ", " << s.params.heads << " heads of " << s.params.head
                          << ", steps of " << step);
        REQUIRE(test::relative_distance(run(s, *kernel, 2, step), expected) <
                test::bound_of(*kernel));
      }
    }
  }
}

TEST_CASE("gqa: the number of threads does not change a bit") {
  const ops::AttentionKernel& kernel = ops::best_attention_kernel(hw::usable_isa());
  for (const Sequence& s : sequences()) {
    for (int64_t step : {int64_t(1), s.total()}) {
      const auto one = run(s, kernel, 1, step);
      for (int threads : {2, 3, 5}) REQUIRE(run(s, kernel, threads, step) == one);
    }
  }
}

TEST_CASE("gqa: on tiles, for any number of tokens and of threads") {
  for (const Sequence& s : sequences()) {
    const auto expected = run_ref(s);
    for (const auto* kernel : test::usable_tile_kernels()) {
      for (int64_t step : {s.total(), int64_t(64), int64_t(17)}) {
        INFO(kernel->name << ", " << s.params.heads << " heads of " << s.params.head
                          << ", steps of " << step);
        const auto one = run_tiled(s, *kernel, 1, step);
        REQUIRE(test::relative_distance(one, expected) < test::bound_of(*kernel));
        for (int threads : {2, 5}) REQUIRE(run_tiled(s, *kernel, threads, step) == one);
      }
    }
  }
}

TEST_CASE("gqa: tiles are used for many rows in enough tasks") {
  const graph::GqaParams p{.heads = 32, .kv_heads = 8, .head = 128};
  CHECK_FALSE(ops::tiles_are_faster(p, 1));
  CHECK(ops::tiles_are_faster(p, 32));
  CHECK(ops::tiles_are_faster(p, 2048));
  const graph::GqaParams one_head{.heads = 4, .kv_heads = 1, .head = 128};
  CHECK_FALSE(ops::tiles_are_faster(one_head, 32));
  CHECK(ops::tiles_are_faster(one_head, 2048));
}

TEST_CASE("gqa: a long cache is split into key ranges") {
  const Sequence s = make_sequence({.heads = 4, .kv_heads = 2, .head = 16}, 16, 1500, 3, 9);
  const ops::AttentionKernel& kernel = ops::best_attention_kernel(hw::usable_isa());
  const auto expected = run_ref(s);
  for (int64_t step : {int64_t(1), int64_t(300)}) {
    REQUIRE(test::relative_distance(run(s, kernel, 3, step), expected) < test::bound_of(kernel));
  }
}

TEST_CASE("gqa_ref: one key is returned as it is; a window of one sees itself alone") {
  const Sequence s = make_sequence({.heads = 2, .kv_heads = 1, .head = 8, .window = 1}, 8, 0, 4, 7);
  const auto out = run_ref(s);
  for (int64_t t = 0; t < 4; ++t) {
    for (int64_t i = 0; i < 16; ++i) {
      CHECK(out[size_t(t * 16 + i)] == Approx(s.v[size_t(t * (s.width() + 3) + i % 8)]));
    }
  }
}
