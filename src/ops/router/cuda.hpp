// The router of a mixture-of-experts layer on a GPU: which experts each token goes to, and with
// what weights, as router.hpp defines it.
#pragma once

#include <cstddef>

#include "core/device/queue.hpp"
#include "core/graph/op.hpp"

namespace ktx::ops::cuda {

/// All in the GPU's memory but params. f32 throughout, without TF32.
struct RouterArgs {
  const graph::RouterParams* params = nullptr;
  const float* x = nullptr;  // [rows, hidden], 16-byte aligned rows
  int64_t x_stride = 0;      // floats, a multiple of 4
  int64_t rows = 0;
  int64_t hidden = 0;                          // a multiple of 4
  const float* weight = nullptr;               // [experts, hidden], contiguous
  const float* bias = nullptr;                 // [experts], added for selection only; or null
  const int32_t* experts_per_token = nullptr;  // [rows], each in [0, most]; null: params->top_k
  int64_t most = 0;              // columns of ids and weights; beyond a row's experts: -1 and 0
  int32_t* ids = nullptr;        // [rows, most], by descending biased score
  float* weights = nullptr;      // [rows, most]
  std::byte* scratch = nullptr;  // router_scratch_bytes() bytes, 16-byte aligned
  unsigned* arrived = nullptr;   // one zero, left so: few rows take one launch; null: two
};

size_t router_scratch_bytes(const graph::RouterParams& params, int64_t hidden,
                            int64_t most_rows) noexcept;

/// What comes of a row is a function of the row and of how many rows there are. Equal scores: the
/// lower index first. A NaN counts as the lowest score.
void router(const RouterArgs& args, const device::Queue& queue) noexcept;

}  // namespace ktx::ops::cuda
