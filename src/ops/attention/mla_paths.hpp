// The two ways to compute mla. Both find the step's tokens already in the cache.
#pragma once

#include "ops/attention/mla.hpp"

namespace ktx::ops {

/// Queries go into the space of the latents (k_b absorbed), all heads attend to the cache's rows as
/// they are, and v_b is applied to the weighted latents: kv_lora + rope and kv_lora multiply-adds a
/// (head, query, key). For few tokens.
void mla_absorbed(const MlaArgs& args, hw::WorkerPool& pool) noexcept;
size_t mla_absorbed_scratch_bytes(const graph::MlaParams& params, const PackedMatrix& k_b,
                                  const PackedMatrix& v_b, int64_t max_tokens,
                                  int workers) noexcept;

/// Keys and values are expanded once a head, and its queries attend to them: nope + rope and v
/// multiply-adds a (head, query, key), kv_lora (nope + v) a (head, key). For many tokens.
void mla_expanded(const MlaArgs& args, hw::WorkerPool& pool) noexcept;
size_t mla_expanded_scratch_bytes(const graph::MlaParams& params, const PackedMatrix& k_b,
                                  const PackedMatrix& v_b, int64_t max_tokens,
                                  int workers) noexcept;

/// Whether mla_expanded takes fewer multiply-adds than mla_absorbed for such a step.
bool expanding_is_cheaper(const graph::MlaParams& params, int64_t past, int64_t tokens) noexcept;

}  // namespace ktx::ops
