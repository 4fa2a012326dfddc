// Multi-head latent attention: appends to the cache and chooses the way to compute it.
#include "ops/attention/mla.hpp"

#include <algorithm>

#include "ops/arena.hpp"
#include "ops/attention/batch_rows.hpp"
#include "ops/attention/mla_paths.hpp"
#include "ops/attention/tiled.hpp"
#include "ops/matmul/unpack.hpp"

namespace ktx::ops {
namespace {

constexpr int64_t most_segment = 4096;  // tokens of a task, which bounds the scratch
constexpr int64_t least_segment = 256;  // fewer, and expanding costs more than attending
constexpr int64_t enough_tasks = 32;

/// Making a number of a packed weight takes the time of so many multiply-adds of the f32 loops.
constexpr int64_t unpack_cost = 40;

/// (query, key) that see each other.
int64_t pairs(int64_t past, int64_t tokens) noexcept {
  return tokens * past + tokens * (tokens + 1) / 2;
}

using Way = void (*)(const MlaArgs& args, hw::WorkerPool& pool) noexcept;

Way way_of(const graph::MlaParams& p, const SequenceRows& sequence) noexcept {
  if (const AttentionTiles* tiles = sequence.kernel->tiles; tiles != nullptr)
    return tiles_are_faster(*tiles, p, sequence.past, sequence.rows) ? mla_tiled : mla_absorbed;
  return expanding_is_cheaper(p, sequence.past, sequence.rows) ? mla_expanded : mla_absorbed;
}

/// Room for each worker to rotate a token's keys, at the start of the scratch: what attends writes
/// over it.
size_t append_scratch_bytes(const graph::MlaParams& params, int workers) noexcept {
  Arena arena;
  for (int w = 0; w < workers; ++w) arena.take<float>(params.rope);
  return arena.used();
}

void append(const MlaArgs& args, hw::WorkerPool& pool) noexcept {
  const graph::MlaParams& p = *args.params;
  const size_t own = append_scratch_bytes(p, 1);
  for_each_row(pool, args.sequences, 4 * args.cache.row.numbers(),
               [&](const SequenceRows& sequence, int64_t i, int worker) noexcept {
                 const int64_t row = sequence.first_row + i, position = sequence.past + i;
                 auto* k_rope = reinterpret_cast<float*>(args.scratch + size_t(worker) * own);
                 std::copy_n(args.k_rope + row * args.k_rope_stride, p.rope, k_rope);
                 args.rope->rotate(k_rope, position);
                 std::byte* to = args.cache.row_of(sequence, position);
                 write_numbers({.cache = &args.cache,
                                .row = to,
                                .numbers = p.kv_lora,
                                .from = args.latent + row * args.latent_stride});
                 write_numbers({.cache = &args.cache,
                                .row = to,
                                .number = p.kv_lora,
                                .numbers = p.rope,
                                .from = k_rope});
               });
}

}  // namespace

const MatmulKernel& mla_matmul_kernel(const AttentionKernel& kernel, hw::Isa machine,
                                      quant::Format format, int64_t rows, int64_t cols) {
  return best_matmul_kernel(std::min(machine, kernel.matrices), format, rows, cols);
}

bool expanding_is_cheaper(const graph::MlaParams& p, int64_t past, int64_t tokens) noexcept {
  const int64_t per_row = int64_t(p.kv_lora) * (p.nope + p.v);
  const int64_t absorbed = tokens * per_row + pairs(past, tokens) * (2 * p.kv_lora + p.rope);
  const int64_t expanded = unpack_cost * p.kv_lora * p.nope + (past + tokens) * per_row +
                           pairs(past, tokens) * (p.nope + p.rope + p.v);
  return expanded < absorbed;
}

bool tiles_are_faster(const AttentionTiles& tiles, const graph::MlaParams& p, int64_t past,
                      int64_t tokens) noexcept {
  const int64_t per_row = int64_t(p.kv_lora) * (p.nope + p.v);
  const int64_t absorbed =
      tokens * per_row + tile_cost(tiles, pairs(past, tokens) * (2 * p.kv_lora + p.rope));
  const int64_t on_tiles =
      (past + tokens) * per_row + pairs(past, tokens) * (p.nope + p.rope + p.v);
  return unpack_cost * per_row + tile_cost(tiles, on_tiles) < absorbed;
}

int64_t segment_tokens(const graph::MlaParams& p, int64_t tokens) noexcept {
  const int64_t wanted = std::max<int64_t>(1, enough_tasks / p.heads);
  const int64_t share = (tokens + wanted - 1) / wanted;
  return std::min(tokens, std::clamp(share, least_segment, most_segment));
}

size_t mla_scratch_bytes(std::initializer_list<const AttentionKernel*> kernels,
                         const graph::MlaParams& params, const PackedMatrix& k_b,
                         const PackedMatrix& v_b, const BatchShape& most, int workers) noexcept {
  size_t bytes = std::max(append_scratch_bytes(params, workers),
                          mla_absorbed_scratch_bytes(params, k_b, v_b, most, workers));
  for (const AttentionKernel* kernel : kernels) {
    const auto many_tokens =
        kernel->tiles != nullptr ? mla_tiled_scratch_bytes : mla_expanded_scratch_bytes;
    bytes = std::max(bytes, many_tokens(params, k_b, v_b, most, workers));
  }
  return bytes;
}

void mla(const MlaArgs& args, hw::WorkerPool& pool) noexcept {
  append(args, pool);
  for_each_way(args, way_of, pool);
}

}  // namespace ktx::ops
