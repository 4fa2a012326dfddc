// The routed experts: each token goes through the gated MLPs of the experts chosen for it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/hw/worker_pool.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::ops {

/// One matrix of every expert: that of expert e is at matrix.data + e * expert_bytes.
struct ExpertMatrix {
  PackedMatrix matrix;
  int64_t expert_bytes = 0;
};

/// y[t] = sum over i of weights[t, i] * down_e(silu(gate_e(x[t])) * up_e(x[t])), e = ids[t, i].
struct MoeArgs {
  const float* x = nullptr;  // [tokens, hidden]
  int64_t x_stride = 0;      // floats
  int64_t tokens = 0;
  const int32_t* ids = nullptr;    // [tokens, top_k], each in [0, experts)
  const float* weights = nullptr;  // [tokens, top_k]
  int top_k = 0, experts = 0;
  int64_t hidden = 0, intermediate = 0;
  ExpertMatrix gate, up;  // [intermediate, hidden]
  ExpertMatrix down;      // [hidden, intermediate]
  float* y = nullptr;     // [tokens, hidden], overwritten
  int64_t y_stride = 0;
  std::byte* scratch = nullptr;  // moe_scratch_bytes() bytes, 64-byte aligned
};

/// Bytes of scratch for steps of up to max_tokens tokens; of args only the shapes and matrices
/// count.
size_t moe_scratch_bytes(const MoeArgs& args, int64_t max_tokens) noexcept;

/// Each expert runs with its decode or its prefill kernel by the number of tokens that it got. The
/// result does not depend on the number of workers.
void moe(const MoeArgs& args, hw::WorkerPool& pool) noexcept;

/// The same by the formula, in double, from Layout::rows. Slow.
void moe_ref(const MoeArgs& args);

}  // namespace ktx::ops
