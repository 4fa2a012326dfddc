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

}  // namespace ktx::ops
