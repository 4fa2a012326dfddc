// Attention of many tokens of one sequence on a GPU's tensor cores: keys and values as bf16, a head
// after the other. Strides in numbers; everything in the GPU's memory.
#pragma once

#include <span>

#include "core/device/queue.hpp"

namespace ktx::ops::cuda {

/// Row r is at position past + r and attends causally to keys [0, past + r].
struct PrefillArgs {
  int64_t rows = 0, past = 0;
  int heads = 0, heads_per_kv = 1;
  int head_dim = 0;    // of k and v: 64 or 128
  int shared_dim = 0;  // of what all heads' keys share behind that: 0, or 64 with head_dim 128
  float scale = 1;     // of q.k
  int64_t window = 0;  // positions a row sees, its own included; 0: all up to its own
  const uint16_t* q = nullptr;  // [rows, heads, head_dim + shared_dim], rotated
  int64_t q_row = 0, q_head = 0;
  const uint16_t* k = nullptr;  // [past + rows, kv_heads, head_dim]
  int64_t k_row = 0, k_head = 0;
  const uint16_t* shared_k = nullptr;  // [past + rows, shared_dim]
  int64_t shared_row = 0;
  const uint16_t* v = nullptr;  // [past + rows, kv_heads, head_dim]
  int64_t v_row = 0, v_head = 0;
  uint16_t* out = nullptr;  // [rows, heads, head_dim]
  int64_t out_row = 0, out_head = 0;
};

/// A way to compute it: "wgmma" on tensor cores of sm_90, "mma" on those from sm_80 on.
struct PrefillKernel {
  const char* name;
  int least_capability, most_capability;
  /// Whether there are tiles for such heads.
  bool (*fits)(int head_dim, int shared_dim);
  void (*run)(const PrefillArgs& args, const device::Queue& queue) noexcept;
};
/// Best first.
std::span<const PrefillKernel* const> prefill_kernels() noexcept;
bool runs_here(const PrefillKernel& kernel, const PrefillArgs& args,
               const device::Queue& queue) noexcept;

/// Whether every GPU has a kernel for such heads.
bool prefill_fits(int head_dim, int shared_dim) noexcept;

/// By the first kernel that the queue's GPU can run.
void prefill(const PrefillArgs& args, const device::Queue& queue) noexcept;

}  // namespace ktx::ops::cuda
