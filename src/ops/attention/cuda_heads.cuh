// Few rows times a part of a head's matrix, by one block.
#pragma once

#include "ops/cuda/numbers.cuh"

namespace ktx::ops::cuda {

/// y[r, o] = W[o, :] x[r, :] for rows r < rows and outputs o of [begin, end), all bf16. Strides in
/// numbers; x_row and inputs are multiples of 8.
struct HeadPart {
  const uint16_t* weights;  // of the head: [outputs, inputs]
  int64_t inputs, begin, end;
  const uint16_t* x;  // in global or shared memory
  int64_t x_row, rows;
  uint16_t* y;
  int64_t y_row;
};

__device__ __forceinline__ float dot8(const uint4& a, const uint4& b) {
  return low_bf16(a.x) * low_bf16(b.x) + high_bf16(a.x) * high_bf16(b.x) +
         low_bf16(a.y) * low_bf16(b.y) + high_bf16(a.y) * high_bf16(b.y) +
         low_bf16(a.z) * low_bf16(b.z) + high_bf16(a.z) * high_bf16(b.z) +
         low_bf16(a.w) * low_bf16(b.w) + high_bf16(a.w) * high_bf16(b.w);
}

/// The weights that a thread waits for together: of n outputs, at `steps` steps along the inputs.
/// `lanes` lanes of a warp share an output's inputs, eight at a time.
template <int lanes, int n, int steps>
struct HeadWeights {
  uint4 of[n][steps];

  /// Outputs that a block has at a time.
  static constexpr int outputs(int threads) { return n * threads / lanes; }

  /// Zeros where there are none.
  __device__ __forceinline__ void load(const HeadPart& part, int64_t output, int64_t input,
                                       int sharing) {
#pragma unroll
    for (int k = 0; k < n; ++k)
#pragma unroll
      for (int s = 0; s < steps; ++s) {
        const int64_t o = output + k * sharing, i = input + s * 8 * lanes;
        of[k][s] = o < part.end && i < part.inputs
                       ? *reinterpret_cast<const uint4*>(part.weights + o * part.inputs + i)
                       : uint4{};
      }
  }
  /// Those that multiply_part() begins with, before x is there.
  __device__ __forceinline__ void load_first(const HeadPart& part, int thread, int threads) {
    load(part, part.begin + thread / lanes, 8 * (thread % lanes), threads / lanes);
  }
};

/// For up to R rows, at least one; all of the block's `threads` come here. weights: the first are
/// loaded.
template <int R, int lanes, int n, int steps>
__device__ __forceinline__ void multiply_part(const HeadPart& part,
                                              HeadWeights<lanes, n, steps>& weights, int thread,
                                              int threads) {
  const int lane = thread % lanes, sharing = threads / lanes;
  for (int64_t first = part.begin; first < part.end; first += n * sharing) {
    const int64_t output = first + thread / lanes;
    float sums[n][R] = {};
    for (int64_t input = 8 * lane; input < part.inputs; input += 8 * lanes * steps) {
      if (first > part.begin || input >= 8 * lanes) weights.load(part, output, input, sharing);
#pragma unroll
      for (int r = 0; r < R; ++r) {
        if (R > 1 && r >= part.rows) break;
#pragma unroll
        for (int s = 0; s < steps; ++s) {
          const int64_t i = input + s * 8 * lanes;
          if (i >= part.inputs) break;
          const uint4 x = *reinterpret_cast<const uint4*>(part.x + r * part.x_row + i);
#pragma unroll
          for (int k = 0; k < n; ++k) sums[k][r] += dot8(weights.of[k][s], x);
        }
      }
    }
#pragma unroll
    for (int k = 0; k < n; ++k)
#pragma unroll
      for (int r = 0; r < R; ++r) {
        if (R > 1 && r >= part.rows) break;
#pragma unroll
        for (int step = lanes / 2; step > 0; step /= 2)
          sums[k][r] += __shfl_xor_sync(every_lane, sums[k][r], step);
        const int64_t of = output + k * sharing;
        if (lane == 0 && of < part.end) part.y[r * part.y_row + of] = f32_to_bf16(sums[k][r]);
      }
  }
}

}  // namespace ktx::ops::cuda
