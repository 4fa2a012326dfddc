// Attention ops on a GPU: mla and gqa of a step's batch.
//
// A batch begins with the rows of decoding sequences, a few each; then come prompts, whose extent
// the host knows. Decoding reads its lengths in the GPU's memory, so a captured graph serves every
// batch of its shape.
#pragma once

#include <cstddef>
#include <span>

#include "core/graph/op.hpp"
#include "ops/attention/cuda_absorbed.hpp"
#include "ops/attention/cuda_batch.hpp"
#include "ops/attention/cuda_heads.hpp"

namespace ktx::ops::cuda {

/// Many tokens of one sequence: rows [first_row, first_row + rows) at positions [past, past +
/// rows).
struct Prompt {
  int32_t sequence = 0;  // of the batch
  int64_t first_row = 0, rows = 0, past = 0;

  int64_t tokens() const noexcept { return past + rows; }
};

/// Strides in numbers; all in the GPU's memory but params and prompts.
struct MlaArgs {
  const graph::MlaParams* params = nullptr;
  HeadMatrices k_b;  // [heads, kv_lora, nope]
  HeadMatrices v_b;  // [heads, v, kv_lora]
  Rope rope;
  Batch batch;  // its rows are numbered
  KvPages cache;
  int64_t decode_rows = 0;  // rows before the first prompt
  std::span<const Prompt> prompts;
  EitherNumbers q;  // [rows, heads * (nope + rope)], not rotated
  int64_t q_stride = 0;
  const float* latent = nullptr;  // [rows, kv_lora]
  int64_t latent_stride = 0;
  const float* latent_norm = nullptr;  // [kv_lora] weight; null: the latents are normed
  float eps = 1e-6f;
  const float* k_rope = nullptr;  // [rows, rope], not rotated
  int64_t k_rope_stride = 0;
  uint16_t* out = nullptr;       // bf16 [rows, heads * v]
  std::byte* scratch = nullptr;  // mla_scratch_bytes() bytes, 256-byte aligned
};

struct GqaArgs {
  const graph::GqaParams* params = nullptr;
  Rope rope;
  Batch batch;  // its rows are numbered
  KvPages cache;
  int64_t decode_rows = 0;  // rows before the first prompt
  std::span<const Prompt> prompts;
  const float* q = nullptr;  // [rows, heads * head], not rotated
  int64_t q_stride = 0;
  const float* k = nullptr;  // [rows, kv_heads * head], not rotated
  int64_t k_stride = 0;
  const float* v = nullptr;  // [rows, kv_heads * head]
  int64_t v_stride = 0;
  uint16_t* out = nullptr;       // bf16 [rows, heads * head]
  std::byte* scratch = nullptr;  // gqa_scratch_bytes() bytes, 256-byte aligned
};

/// The largest step that scratch is for.
struct StepShape {
  int64_t rows = 0;         // of the batch
  int64_t decode_rows = 0;  // of them
  int64_t tokens = 0;       // of the longest prompt, with its past
};
/// Of k_b and v_b: bf16 or int8.
struct MlaFormats {
  quant::Format k_b = quant::Format::bf16, v_b = quant::Format::bf16;
};
size_t mla_scratch_bytes(const graph::MlaParams& params, const MlaFormats& formats,
                         const StepShape& most, int multiprocessors) noexcept;
size_t gqa_scratch_bytes(const graph::GqaParams& params, const StepShape& most) noexcept;

/// Whether it takes less work to expand the latents of all tokens into keys and values of each head
/// than to leave them as they are and widen the queries.
bool expanding_is_cheaper(const graph::MlaParams& params, const Prompt& prompt) noexcept;

/// Append the tokens of all rows to the cache; then each row attends causally to its sequence.
void mla(const MlaArgs& args, const HeadProducts& products, const device::Queue& queue) noexcept;
void gqa(const GqaArgs& args, const device::Queue& queue) noexcept;

}  // namespace ktx::ops::cuda
