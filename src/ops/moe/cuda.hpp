// Routed experts on a GPU: those whose weights lie there, for tokens that chose them.
//
// Which experts these are is read from a table at every step, so that they can be exchanged between
// steps, and streamed ones take the place of others. The ids stay on the GPU: no number of them is
// needed on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/device/queue.hpp"
#include "core/quant/format.hpp"
#include "ops/matmul/cuda/products.hpp"

namespace ktx::ops::cuda {

constexpr int most_experts = 1024;

/// y[t] = add[t] + sum over i of weights[t, i] * down_e(silu(gate_e(x[t])) * up_e(x[t])), e =
/// ids[t, i], in the order of i, over the experts that are in the table; ids below 0 are unused.
/// Strides in numbers.
struct MoeArgs {
  const uint16_t* x = nullptr;  // bf16 [tokens, hidden]
  int64_t x_stride = 0;         // a multiple of 8
  int64_t tokens = 0;
  const int32_t* ids = nullptr;    // [tokens, top_k], below experts
  const float* weights = nullptr;  // [tokens, top_k]
  int top_k = 0, experts = 0;
  const ExpertWeights* table = nullptr;  // [experts], in the GPU's memory; in Layout::x16
  int64_t hidden = 0, intermediate = 0;
  quant::Format gate_up = quant::Format::f32, down = quant::Format::f32;
  float* y = nullptr;  // [tokens, hidden], overwritten
  int64_t y_stride = 0;
  const float* add = nullptr;  // strides as y; may be y; null: zero
  std::byte* scratch = nullptr;
  int64_t scratch_pairs = 0;  // that it was sized for
};

/// Empty when a GPU can run such experts, else the reason.
std::string moe_refusal(quant::Format gate_up, quant::Format down, int64_t hidden,
                        int64_t intermediate);

/// Bytes of scratch for steps of so many tokens, of which at most `pairs` pairs of a token and an
/// expert are for experts of the table (tokens * top_k are always enough).
int64_t moe_scratch_bytes(const MoeArgs& shape, int64_t max_tokens, int64_t pairs) noexcept;

void moe(const MoeArgs& args, const device::Queue& queue) noexcept;

}  // namespace ktx::ops::cuda
