// A sequence with random inputs and weights for the tests of mla.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "catch.hpp"
#include "core/base/buffer.hpp"
#include "ops/attention/attention_kernels.hpp"
#include "ops/attention/mla_paths.hpp"
#include "ops/attention/paged_cache.hpp"
#include "ops/ops_numbers.hpp"

namespace ktx::test {

/// `total` tokens. Matrices f32 in Layout::rows, for the table's reference kernel of matmul.
struct MlaSequence {
  MlaSequence() = default;
  MlaSequence(MlaSequence&&) = default;  // a copy's matrices would point into the original

  graph::MlaParams params;
  int64_t total = 0;
  std::vector<float> q, latent, k_rope;
  std::vector<float> k_b_numbers, v_b_numbers;
  std::vector<ops::PackedMatrix> k_b, v_b;
  ops::RopeTable rope;

  int64_t q_width() const { return int64_t(params.heads) * (params.nope + params.rope); }
  int64_t out_width() const { return int64_t(params.heads) * params.v; }
};

inline std::vector<ops::PackedMatrix> matrices(const std::vector<float>& numbers, int heads,
                                               int64_t rows, int64_t cols) {
  std::vector<ops::PackedMatrix> result;
  for (int h = 0; h < heads; ++h) {
    const auto* data = reinterpret_cast<const std::byte*>(numbers.data() + h * rows * cols);
    const ops::MatmulKernel* ref = ops::find_matmul_kernel("ref");
    result.push_back({data, quant::Format::f32, rows, cols, ref, ref});
  }
  return result;
}

/// The matrices of all heads in a format: as rows, and packed for a kernel.
struct PackedHeads {
  PackedHeads(const std::vector<float>& numbers, int heads, int64_t row_count, int64_t cols,
              quant::Format format, const ops::MatmulKernel& kernel) {
    const auto row_bytes = size_t(quant::row_bytes(format, cols));
    const ops::Layout layout = kernel.layout(format);
    const auto packed_size = size_t(ops::packed_bytes(layout, format, row_count, cols));
    for (int h = 0; h < heads; ++h) {
      bytes.emplace_back(size_t(row_count) * row_bytes);
      std::byte* encoded = bytes.back().data();
      for (int64_t r = 0; r < row_count; ++r) {
        quant::info(format).encode(numbers.data() + (h * row_count + r) * cols,
                                   encoded + size_t(r) * row_bytes, cols);
      }
      rows.push_back({encoded, format, row_count, cols, &kernel, &kernel});
      bytes.emplace_back(packed_size);
      std::byte* to = bytes.back().data();
      ops::pack_matrix({layout, format, row_count, cols, 0, row_count, encoded, to});
      packed.push_back({to, format, row_count, cols, &kernel, &kernel});
    }
  }
  std::vector<base::Buffer> bytes;
  std::vector<ops::PackedMatrix> rows, packed;
};

inline MlaSequence make_mla(graph::MlaParams p, int64_t total, uint32_t seed) {
  p.scale = 1 / std::sqrt(float(p.nope + p.rope));
  p.rotary.interleaved = true;
  for (int i = 0; i < p.rope / 2; ++i) {
    p.rotary.frequency.push_back(std::pow(10000.0f, -2 * float(i) / float(p.rope)));
  }
  MlaSequence s;
  s.params = p;
  s.total = total;
  s.q = random_floats(total * (s.q_width() + 1), seed, 2);
  s.latent = random_floats(total * (p.kv_lora + 2), seed + 1);
  s.k_rope = random_floats(total * (p.rope + 3), seed + 2, 2);
  const int64_t kv_lora = p.kv_lora;
  const float scale = 1 / std::sqrt(float(kv_lora));
  s.k_b_numbers = random_floats(p.heads * kv_lora * p.nope, seed + 3, scale);
  s.v_b_numbers = random_floats(p.heads * kv_lora * p.v, seed + 4, scale);
  s.k_b = matrices(s.k_b_numbers, p.heads, kv_lora, p.nope);
  s.v_b = matrices(s.v_b_numbers, p.heads, p.v, kv_lora);
  s.rope = ops::RopeTable(p.rotary, total);
  return s;
}

inline graph::KvRow cache_row(const graph::MlaParams& p) {
  return {.scaled = p.kv_lora, .group = 128, .exact = p.rope};
}

/// All of a sequence's tokens are rows of the arguments.
inline ops::MlaArgs mla_args(const MlaSequence& s, const ops::KvPages& cache, float* out) {
  return {.params = &s.params,
          .k_b = s.k_b.data(),
          .v_b = s.v_b.data(),
          .rope = &s.rope,
          .q = s.q.data(),
          .q_stride = s.q_width() + 1,
          .latent = s.latent.data(),
          .latent_stride = s.params.kv_lora + 2,
          .k_rope = s.k_rope.data(),
          .k_rope_stride = s.params.rope + 3,
          .out = out,
          .out_stride = s.out_width(),
          .cache = cache};
}

using MlaFunction = void (*)(const ops::MlaArgs&, hw::WorkerPool&) noexcept;

/// Outputs of all tokens by `function`, taken `step` at a time.
inline std::vector<float> run_mla_on(const MlaSequence& s, PagedCache& pages,
                                     const ops::AttentionKernel& kernel, int threads, int64_t step,
                                     MlaFunction function, size_t scratch_bytes) {
  hw::WorkerPool pool(threads);
  GuardedScratch scratch(scratch_bytes);
  std::vector<float> out(size_t(s.total * s.out_width()));
  auto args = mla_args(s, pages.cache, out.data());
  args.scratch = scratch.data();
  for (int64_t t = 0; t < s.total; t += step) {
    const ops::SequenceRows rows{t, std::min(step, s.total - t), t, pages.order.data(), &kernel};
    args.sequences = {&rows, 1};
    function(args, pool);
  }
  REQUIRE(scratch.intact());
  return out;
}

/// A cache for the tokens of a sequence.
inline PagedCache cache_of(const MlaSequence& s, graph::KvFormat format = graph::KvFormat::f32) {
  return {format, cache_row(s.params), graph::pages_of(s.total)};
}

inline std::vector<float> run_mla(const MlaSequence& s, const ops::AttentionKernel& kernel,
                                  int threads, int64_t step) {
  auto pages = cache_of(s);
  return run_mla_on(
      s, pages, kernel, threads, step, ops::mla,
      ops::mla_scratch_bytes({&kernel}, s.params, s.k_b[0], s.v_b[0], {.rows = step}, threads));
}

/// By the formula, all tokens at once.
inline std::vector<float> run_mla_ref(const MlaSequence& s, PagedCache& pages) {
  std::vector<float> out(size_t(s.total * s.out_width()));
  auto args = mla_args(s, pages.cache, out.data());
  const ops::SequenceRows rows{.rows = s.total, .pages = pages.order.data()};
  args.sequences = {&rows, 1};
  ops::mla_ref(args);
  return out;
}
inline std::vector<float> run_mla_ref(const MlaSequence& s) {
  auto pages = cache_of(s);
  return run_mla_ref(s, pages);
}

/// A way to compute mla, and its scratch.
struct MlaPath {
  MlaFunction run;
  decltype(&ops::mla_tiled_scratch_bytes) scratch_bytes;
};
constexpr MlaPath absorbed{ops::mla_absorbed, ops::mla_absorbed_scratch_bytes};
constexpr MlaPath expanded{ops::mla_expanded, ops::mla_expanded_scratch_bytes};
constexpr MlaPath tiled{ops::mla_tiled, ops::mla_tiled_scratch_bytes};

/// The same by one of the ways to compute it, on a cache that holds all tokens.
inline std::vector<float> run_mla_path(const MlaSequence& s, const ops::AttentionKernel& kernel,
                                       int threads, int64_t step, const MlaPath& path,
                                       graph::KvFormat format = graph::KvFormat::f32) {
  auto pages = cache_of(s, format);
  run_mla_ref(s, pages);
  return run_mla_on(s, pages, kernel, threads, step, path.run,
                    path.scratch_bytes(s.params, s.k_b[0], s.v_b[0], {.rows = step}, threads));
}

}  // namespace ktx::test
