// Routed experts: for each token the weighted sum of its experts' SwiGLU MLPs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/hw/worker_pool.hpp"
#include "ops/f32/f32.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::ops {

/// An expert that every token runs through, besides those that it chose. It may have more
/// intermediate rows than these.
struct SharedExpert {
  PackedMatrix gate, up, down;
};

/// y[t] = sum over i of weights[t, i] * down_e(silu(gate_e(x[t])) * up_e(x[t])), e = ids[t, i],
/// over the experts that are here. In steps of up to decode_tokens tokens (linear.hpp) what the
/// shared expert makes is added to that, and the whole to `add`, in that order: the numbers are
/// those of linear layers and sums of their own, which need more passes. Strides in floats.
struct MoeArgs {
  const float* x = nullptr;  // [tokens, hidden]
  int64_t x_stride = 0;
  int64_t tokens = 0;
  const int32_t* ids = nullptr;    // [tokens, top_k], each in [0, experts), or -1: unused
  const float* weights = nullptr;  // [tokens, top_k]
  /// [experts] which of the matrices are an expert's; -1: it is elsewhere. Null: its own number.
  const int32_t* slots = nullptr;
  int top_k = 0, experts = 0;
  int64_t hidden = 0, intermediate = 0;
  /// The decode kernels however many tokens an expert gets: then no token's result depends on the
  /// others.
  bool decode_kernels = false;
  PackedMatrix gate, up;  // of every expert: rows intermediate, cols hidden; both on the same nodes
  PackedMatrix down;      // of every expert: rows hidden, cols intermediate
  const f32::Kernel* silu = nullptr;     // of silu(gate) * up, of the shared expert's too
  const SharedExpert* shared = nullptr;  // null: none
  const float* add = nullptr;            // [tokens, hidden], strides as y; may be y; null: nothing
  float* y = nullptr;                    // [tokens, hidden], overwritten
  int64_t y_stride = 0;
  std::byte* scratch = nullptr;  // moe_scratch_bytes() bytes, 64-byte aligned
};

struct MoeScratchArgs {
  PackedMatrix gate, up, down;
  const SharedExpert* shared = nullptr;
  int experts = 0, top_k = 0;
  int64_t max_tokens = 0;
};

/// Bytes of scratch for steps of up to max_tokens tokens.
int64_t moe_scratch_bytes(const MoeScratchArgs& args) noexcept;

/// The kernels are chosen per expert by the number of tokens it got (decode_tokens of linear.hpp).
/// The result depends neither on the number of workers nor on which node holds which rows: nodes
/// compute rows of their own, so that no partial sums are added. (One exception: where h is made
/// int8 for tiles and a shard begins within 256 rows, fewer columns share a scale.) The kernel of
/// an expert, and the order in which a token's experts are summed, depend on the other tokens of
/// the step unless decode_kernels is set.
/// Returns how many experts got tokens, the shared one not counted.
int64_t moe(const MoeArgs& args, hw::WorkerPool& pool) noexcept;

/// The same by the formula, in f32, with all matrices in Layout::rows. Slow.
void moe_ref(const MoeArgs& args);

}  // namespace ktx::ops
