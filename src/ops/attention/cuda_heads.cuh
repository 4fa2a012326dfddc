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

/// Outputs whose weights a thread waits for together, with at most R rows.
template <int R>
constexpr int outputs_at_once = R == 1 ? 4 : 2;

__device__ __forceinline__ float dot8(const uint4& a, const uint4& b) {
  return low_bf16(a.x) * low_bf16(b.x) + high_bf16(a.x) * high_bf16(b.x) +
         low_bf16(a.y) * low_bf16(b.y) + high_bf16(a.y) * high_bf16(b.y) +
         low_bf16(a.z) * low_bf16(b.z) + high_bf16(a.z) * high_bf16(b.z) +
         low_bf16(a.w) * low_bf16(b.w) + high_bf16(a.w) * high_bf16(b.w);
}

/// `lanes` lanes of a warp share an output's inputs, eight at a time. All of the block's `threads`
/// come here.
template <int lanes, int R>
__device__ __forceinline__ void multiply_part(const HeadPart& part, int thread, int threads) {
  constexpr int n = outputs_at_once<R>;
  const int lane = thread % lanes, sharing = threads / lanes;
  for (int64_t first = part.begin; first < part.end; first += n * sharing) {
    const int64_t output = first + thread / lanes;
    float sums[n][R] = {};
#pragma unroll 2
    for (int64_t i = 8 * lane; i < part.inputs; i += 8 * lanes) {
      uint4 w[n];
#pragma unroll
      for (int k = 0; k < n; ++k) {
        const int64_t of = min(output + k * sharing, part.end - 1);
        w[k] = *reinterpret_cast<const uint4*>(part.weights + of * part.inputs + i);
      }
#pragma unroll
      for (int r = 0; r < R; ++r) {
        if (r >= part.rows) break;
        const uint4 x = *reinterpret_cast<const uint4*>(part.x + r * part.x_row + i);
#pragma unroll
        for (int k = 0; k < n; ++k) sums[k][r] += dot8(w[k], x);
      }
    }
#pragma unroll
    for (int k = 0; k < n; ++k)
#pragma unroll
      for (int r = 0; r < R; ++r) {
        if (r >= part.rows) break;
#pragma unroll
        for (int step = lanes / 2; step > 0; step /= 2)
          sums[k][r] += __shfl_xor_sync(every_lane, sums[k][r], step);
        const int64_t of = output + k * sharing;
        if (lane == 0 && of < part.end) part.y[r * part.y_row + of] = f32_to_bf16(sums[k][r]);
      }
  }
}

}  // namespace ktx::ops::cuda
