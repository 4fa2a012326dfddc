// Routed experts on a GPU: those whose weights lie there, for tokens that chose them.
//
// Which experts these are is read from a table at every step, so that they can be exchanged between
// steps, and streamed ones take the place of others. The ids stay on the GPU: no number of them is
// needed on the CPU.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/device/queue.hpp"
#include "core/quant/format.hpp"
#include "ops/matmul/cuda/products.hpp"

namespace ktx::ops::cuda {

constexpr int most_experts = 1024;
constexpr int most_expert_slots = 256;

/// y[t] = add[t] + sum over i of weights[t, i] * down_e(silu(gate_e(x[t])) * up_e(x[t])), e =
/// ids[t, i], in the order of i, over the experts that are in the table; ids below 0 are unused.
/// Strides in numbers. See moe_refusal (ops/cuda/refusals.hpp).
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

/// Experts that come to the GPU one group after the other, in that order. It travels in the
/// parameters of a launch, so that no memory of it has to outlive a step.
struct ExpertOrder {
  int count = 0;
  std::array<uint16_t, most_experts> expert{};  // its id
  std::array<uint8_t, most_experts> slot{};     // where in the table it is when its turn comes
};

/// Bytes of scratch for steps of so many tokens, of which at most `pairs` pairs of a token and an
/// expert are for experts of the table (tokens * top_k are always enough), or for those of one part
/// (as many as it has experts, times tokens).
int64_t moe_scratch_bytes(const MoeArgs& shape, int64_t max_tokens, int64_t pairs) noexcept;

void moe(const MoeArgs& args, const device::Queue& queue) noexcept;

/// The same in parts, for experts that do not lie in the table all at once: moe_begin() sorts the
/// pairs by the order's experts and makes y = add, or 0; then each moe_part() adds to y what
/// experts [begin, end) of the order give to their tokens. `table` is then indexed by the order's
/// slots, of which a part reads its own. A token's sum is taken part by part, within a part in the
/// order of i. All calls are given the same args.
void moe_begin(const MoeArgs& args, const ExpertOrder& order, const device::Queue& queue) noexcept;
void moe_part(const MoeArgs& args, int begin, int end, const device::Queue& queue) noexcept;

}  // namespace ktx::ops::cuda
