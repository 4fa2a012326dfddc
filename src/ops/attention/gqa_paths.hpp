// The ways to compute gqa. Both find the step's tokens already in the caches.
#pragma once

#include "ops/attention/gqa.hpp"

namespace ktx::ops {

/// By the f32 loops, with long caches split into ranges of keys: for few tokens too.
void gqa_split(const GqaArgs& args, hw::WorkerPool& pool) noexcept;
size_t gqa_split_scratch_bytes(const graph::GqaParams& params, int workers) noexcept;

/// On the kernel's tiles. For many tokens.
void gqa_tiled(const GqaArgs& args, hw::WorkerPool& pool) noexcept;
size_t gqa_tiled_scratch_bytes(const graph::GqaParams& params, int64_t max_tokens,
                               int workers) noexcept;

/// Whether gqa_tiled is to be faster than gqa_split for such a step.
bool tiles_are_faster(const graph::GqaParams& params, int64_t tokens) noexcept;

}  // namespace ktx::ops
