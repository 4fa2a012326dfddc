// Multi-head latent attention: appends to the cache and chooses the way to compute it.
#include "ops/attention/mla.hpp"

#include <algorithm>

#include "ops/attention/mla_paths.hpp"
#include "ops/attention/tiled.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

constexpr int64_t most_segment = 4096;  // tokens of a task, which bounds the scratch
constexpr int64_t least_segment = 256;  // fewer, and expanding costs more than attending
constexpr int64_t enough_tasks = 32;

/// (query, key) that see each other.
int64_t pairs(int64_t past, int64_t tokens) noexcept {
  return tokens * past + tokens * (tokens + 1) / 2;
}

}  // namespace

const MatmulKernel& mla_matmul_kernel(const AttentionKernel& kernel, hw::Isa machine,
                                      quant::Format format, int64_t rows, int64_t cols) {
  return best_matmul_kernel(std::min(machine, kernel.matrices), format, rows, cols);
}

bool expanding_is_cheaper(const graph::MlaParams& p, int64_t past, int64_t tokens) noexcept {
  const int64_t per_row = int64_t(p.kv_lora) * (p.nope + p.v);
  const int64_t absorbed = tokens * per_row + pairs(past, tokens) * (2 * p.kv_lora + p.rope);
  const int64_t expanded = (past + tokens) * per_row + int64_t(p.nope) * p.nope * p.kv_lora +
                           pairs(past, tokens) * (p.nope + p.rope + p.v);
  return expanded < absorbed;
}

bool tiles_are_faster(const graph::MlaParams& p, int64_t past, int64_t tokens) noexcept {
  const int64_t per_row = int64_t(p.kv_lora) * (p.nope + p.v);
  const int64_t absorbed = tokens * per_row + pairs(past, tokens) * (2 * p.kv_lora + p.rope);
  // Reading k_b, which may well be stored as f32, takes the f32 loops.
  const int64_t read_k_b = int64_t(p.nope) * p.nope * p.kv_lora;
  const int64_t read_v_b = int64_t(p.kv_lora) * p.kv_lora * p.v;
  const int64_t on_tiles =
      read_v_b + (past + tokens) * per_row + pairs(past, tokens) * (p.nope + p.rope + p.v);
  return read_k_b + on_tiles / tile_speed < absorbed;
}

int64_t segment_tokens(const graph::MlaParams& p, int64_t tokens) noexcept {
  const int64_t wanted = std::max<int64_t>(1, enough_tasks / p.heads);
  const int64_t share = (tokens + wanted - 1) / wanted;
  return std::min(tokens, std::clamp(share, least_segment, most_segment));
}

size_t mla_scratch_bytes(const AttentionKernel& kernel, const graph::MlaParams& params,
                         const PackedMatrix& k_b, const PackedMatrix& v_b, int64_t max_tokens,
                         int workers) noexcept {
  const auto many_tokens =
      kernel.tiles != nullptr ? mla_tiled_scratch_bytes : mla_expanded_scratch_bytes;
  return std::max(mla_absorbed_scratch_bytes(params, k_b, v_b, max_tokens, workers),
                  many_tokens(params, k_b, v_b, max_tokens, workers));
}

void mla(const MlaArgs& args, hw::WorkerPool& pool) noexcept {
  const graph::MlaParams& p = *args.params;
  const int64_t width = p.kv_lora + p.rope;
  for_each(pool, args.tokens, 4 * width, [&](int64_t t, int) noexcept {
    float* row = args.cache + (args.past + t) * width;
    std::copy_n(args.latent + t * args.latent_stride, p.kv_lora, row);
    std::copy_n(args.k_rope + t * args.k_rope_stride, p.rope, row + p.kv_lora);
    args.rope->rotate(row + p.kv_lora, args.past + t);
  });
  if (args.kernel->tiles != nullptr && tiles_are_faster(p, args.past, args.tokens)) {
    mla_tiled(args, pool);
  } else if (args.kernel->tiles == nullptr && expanding_is_cheaper(p, args.past, args.tokens)) {
    mla_expanded(args, pool);
  } else {
    mla_absorbed(args, pool);
  }
}

}  // namespace ktx::ops
