// mla against the expanded formula in double; chunks, threads, packed formats.
// covers: mla_expanded, mla_tiled, ref
#include "ops/attention/mla.hpp"

#include <algorithm>
#include <vector>

#include "catch.hpp"
#include "ops/attention/attention_kernels.hpp"
#include "ops/attention/mla_fixture.hpp"
#include "ops/attention/mla_paths.hpp"
#include "support/emulated/emulated_amx.hpp"

using namespace ktx;
using namespace ktx::test;

namespace {

graph::MlaParams shape(int heads, int nope, int rope, int v, int kv_lora) {
  graph::MlaParams p;
  p.heads = heads;
  p.nope = nope;
  p.rope = rope;
  p.v = v;
  p.kv_lora = kv_lora;
  return p;
}

std::vector<MlaSequence> sequences() {
  std::vector<MlaSequence> result;
  result.push_back(make_mla(shape(1, 16, 16, 16, 16), 1, 1));
  result.push_back(make_mla(shape(4, 128, 64, 128, 512), 90, 2));
  result.push_back(make_mla(shape(16, 32, 16, 48, 64), 200, 3));
  result.push_back(make_mla(shape(3, 13, 6, 7, 35), 140, 4));
  result.push_back(make_mla(shape(5, 24, 2, 40, 100), 270, 5));
  return result;
}

}  // namespace

TEST_CASE("mla: agrees with the formula, whole, in chunks and token by token") {
  for (const MlaSequence& s : sequences()) {
    const auto expected = run_mla_ref(s);
    for (const auto* kernel : usable_attention_kernels()) {
      for (int64_t step : {s.total, int64_t(70), int64_t(17), int64_t(1)}) {
        INFO(kernel->name << ", " << s.params.heads << " heads, steps of " << step);
        REQUIRE(relative_distance(run_mla(s, *kernel, 2, step), expected) < bound_of(*kernel));
      }
    }
  }
}

TEST_CASE("mla: the number of threads does not change a bit") {
  const ops::AttentionKernel& kernel = ops::best_attention_kernel(hw::usable_isa());
  for (const MlaSequence& s : sequences()) {
    for (int64_t step : {int64_t(1), int64_t(45), s.total}) {
      const auto one = run_mla(s, kernel, 1, step);
      for (int threads : {2, 3, 5}) REQUIRE(run_mla(s, kernel, threads, step) == one);
    }
    for (const auto* tiles : usable_tile_kernels()) {
      const auto one = run_mla_path(s, *tiles, 1, s.total, tiled);
      for (int threads : {2, 5}) REQUIRE(run_mla_path(s, *tiles, threads, s.total, tiled) == one);
    }
  }
}

TEST_CASE("mla: all ways to compute it agree with the formula") {
  for (const MlaSequence& s : sequences()) {
    const auto expected = run_mla_ref(s);
    for (const auto* kernel : usable_attention_kernels()) {
      for (int64_t step : {s.total, int64_t(100), int64_t(13)}) {
        INFO(kernel->name << ", " << s.params.heads << " heads, steps of " << step);
        const auto distance = [&](const MlaPath& path) {
          return relative_distance(run_mla_path(s, *kernel, 3, step, path), expected);
        };
        REQUIRE(distance(expanded) < 1e-5);
        REQUIRE(distance(absorbed) < bound_of(*kernel));
        if (kernel->tiles != nullptr) REQUIRE(distance(tiled) < bound_of(*kernel));
      }
    }
  }
}

TEST_CASE("mla: with packed weights of a format, by the kernels chosen for it") {
  MlaSequence s = make_mla(shape(4, 128, 64, 128, 512), 300, 21);
  const auto& loops = ops::best_attention_kernel(std::min(hw::usable_isa(), hw::Isa::avx512));
  std::vector<const ops::MatmulKernel*> kernels;
  for (const ops::MatmulKernel& kernel : ops::matmul_kernels())
    if (kernel.isa <= hw::usable_isa() && kernel.name != "ref") kernels.push_back(&kernel);
  if (test::emulated_amx_kernel().isa <= hw::usable_isa())
    kernels.push_back(&test::emulated_amx_kernel());
  for (quant::Format format :
       {quant::Format::bf16, quant::Format::q8_0, quant::Format::int8, quant::Format::int4_64}) {
    for (const ops::MatmulKernel* kernel : kernels) {
      if (!kernel->refusal(format, 512, 128).empty()) continue;
      INFO(quant::name(format) << ", " << kernel->name);
      PackedHeads k(s.k_b_numbers, 4, 512, 128, format, *kernel);
      PackedHeads v(s.v_b_numbers, 4, 128, 512, format, *kernel);
      s.k_b = k.rows;
      s.v_b = v.rows;
      const auto expected = run_mla_ref(s);
      s.k_b = k.packed;
      s.v_b = v.packed;
      // Rounding activations to 8 bits in blocks of 32 normal numbers (the largest of them
      // about 2.1) is an error of 0.5 % in the queries, so in the scores, and 0.5 % in the latents.
      // The scores' spread here is about 4: 2 % in the weights.
      const bool rounds =
          kernel->activation(format) != ops::ActivationFormat::f32 || kernel->least_tile_tokens > 0;
      const double bound = rounds ? 0.03 : 1e-5;
      for (int64_t step : {int64_t(300), int64_t(20)}) {
        REQUIRE(relative_distance(run_mla(s, loops, 2, step), expected) < bound);
      }
      // Their matrices are exact until they are rounded to bf16: the tiles' own rounding.
      for (const auto* tiles : usable_tile_kernels()) {
        const auto out = run_mla_path(s, *tiles, 2, s.total, tiled);
        REQUIRE(relative_distance(out, expected) < bound_of(*tiles));
      }
    }
  }
}

TEST_CASE("mla: keys are expanded for many tokens, not for few") {
  const graph::MlaParams p = shape(128, 128, 64, 128, 512);
  CHECK_FALSE(ops::expanding_is_cheaper(p, 0, 1));
  CHECK_FALSE(ops::expanding_is_cheaper(p, 100000, 1));
  CHECK_FALSE(ops::expanding_is_cheaper(p, 100000, 150));
  CHECK(ops::expanding_is_cheaper(p, 0, 512));
  CHECK(ops::expanding_is_cheaper(p, 100000, 512));
}

TEST_CASE("mla: on tiles too keys are expanded for many tokens, not for few") {
  const graph::MlaParams p = shape(128, 128, 64, 128, 512);
  for (const auto* kernel : usable_tile_kernels())
    for (int64_t past : {0, 5000, 100000}) {
      CHECK_FALSE(ops::tiles_are_faster(*kernel->tiles, p, past, 1));
      CHECK_FALSE(ops::tiles_are_faster(*kernel->tiles, p, past, 32));
      CHECK(ops::tiles_are_faster(*kernel->tiles, p, past, 256));
    }
}

TEST_CASE("mla: tiles of keys and segments of tokens meet without a seam") {
  const MlaSequence s = make_mla(shape(2, 16, 8, 16, 32), 1300, 12);
  const ops::AttentionKernel& kernel = ops::best_attention_kernel(hw::usable_isa());
  const auto expected = run_mla_ref(s);
  for (int64_t step : {s.total, int64_t(700)}) {
    const auto out = run_mla_path(s, kernel, 1, step, expanded);
    REQUIRE(relative_distance(out, expected) < 1e-5);
    REQUIRE(run_mla_path(s, kernel, 3, step, expanded) == out);
    for (const auto* tiles : usable_tile_kernels()) {
      const auto on_tiles = run_mla_path(s, *tiles, 1, step, tiled);
      REQUIRE(relative_distance(on_tiles, expected) < bound_of(*tiles));
      REQUIRE(run_mla_path(s, *tiles, 3, step, tiled) == on_tiles);
    }
  }
}

TEST_CASE("mla: tiles take rows of bf16 and fp8 caches") {
  for (const MlaSequence& s : sequences())
    for (const auto format : {graph::KvFormat::bf16, graph::KvFormat::fp8}) {
      auto pages = cache_of(s, format);
      const auto expected = run_mla_ref(s, pages);
      for (const auto* tiles : usable_tile_kernels()) {
        INFO(tiles->name << ", " << s.params.heads << " heads, " << graph::info(format).name);
        const auto out = run_mla_path(s, *tiles, 2, s.total, tiled, format);
        REQUIRE(relative_distance(out, expected) < bound_of(*tiles));
      }
    }
}

TEST_CASE("mla: a long cache is split into key ranges") {
  const MlaSequence s = make_mla(shape(2, 16, 8, 16, 32), 1500, 9);
  const ops::AttentionKernel& kernel = ops::best_attention_kernel(hw::usable_isa());
  const auto expected = run_mla_ref(s);
  for (int64_t step : {int64_t(1), int64_t(400)}) {
    REQUIRE(relative_distance(run_mla(s, kernel, 3, step), expected) < bound_of(kernel));
  }
}

TEST_CASE("mla_ref: the first token's output is its value, v_b times its latent") {
  const MlaSequence s = make_mla(shape(2, 8, 4, 5, 12), 1, 11);
  const auto out = run_mla_ref(s);
  for (size_t h = 0; h < 2; ++h) {
    for (size_t j = 0; j < 5; ++j) {
      double sum = 0;
      for (size_t i = 0; i < 12; ++i) {
        sum += double(s.v_b_numbers[(h * 5 + j) * 12 + i]) * s.latent[i];
      }
      CHECK(out[h * 5 + j] == Approx(sum).epsilon(1e-6));
    }
  }
}
