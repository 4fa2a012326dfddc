// The ways to compute mla. All find the tokens of their sequences already in the cache.
#pragma once

#include "ops/attention/mla.hpp"

namespace ktx::ops {

/// Queries go into the space of the latents (k_b absorbed), all heads attend to the cache's rows as
/// they are, and v_b is applied to the weighted latents: kv_lora + rope and kv_lora multiply-adds a
/// (head, query, key). For few tokens, of many sequences together.
void mla_absorbed(const MlaArgs& args, hw::WorkerPool& pool) noexcept;
size_t mla_absorbed_scratch_bytes(const graph::MlaParams& params, const PackedMatrix& k_b,
                                  const PackedMatrix& v_b, const BatchShape& most,
                                  int workers) noexcept;

/// Keys and values are expanded once a head, and its queries attend to them: nope + rope and v
/// multiply-adds a (head, query, key), kv_lora (nope + v) a (head, key). For many tokens, one
/// sequence after another.
void mla_expanded(const MlaArgs& args, hw::WorkerPool& pool) noexcept;
size_t mla_expanded_scratch_bytes(const graph::MlaParams& params, const PackedMatrix& k_b,
                                  const PackedMatrix& v_b, const BatchShape& most,
                                  int workers) noexcept;

/// The same on the kernel's tiles.
void mla_tiled(const MlaArgs& args, hw::WorkerPool& pool) noexcept;
size_t mla_tiled_scratch_bytes(const graph::MlaParams& params, const PackedMatrix& k_b,
                               const PackedMatrix& v_b, const BatchShape& most,
                               int workers) noexcept;

/// Tokens of a task of these two. A function of the shapes alone, so that threads change no result.
int64_t segment_tokens(const graph::MlaParams& params, int64_t tokens) noexcept;

/// Whether mla_expanded takes fewer multiply-adds than mla_absorbed for such a sequence.
bool expanding_is_cheaper(const graph::MlaParams& params, int64_t past, int64_t tokens) noexcept;

/// Whether mla_tiled is to be faster than mla_absorbed, both on these tiles, for such a sequence.
bool tiles_are_faster(const AttentionTiles& tiles, const graph::MlaParams& params, int64_t past,
                      int64_t tokens) noexcept;

}  // namespace ktx::ops
