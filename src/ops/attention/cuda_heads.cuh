// Few rows times a part of a head's matrix, by one block.
#pragma once

#include "ops/attention/cuda_heads.hpp"
#include "ops/cuda/numbers.cuh"

namespace ktx::ops::cuda {

/// Weights as bf16, or int8 with a scale a row in front of it (quant::Format::int8): a step of
/// eight as loaded, and its product with eight bf16 numbers.
struct Bf16Rows {
  using Eight = uint4;
  static constexpr bool scaled = false;
  static constexpr quant::Format format = quant::Format::bf16;

  __device__ static int64_t row_bytes(int64_t inputs) { return 2 * inputs; }
  __device__ __forceinline__ static Eight load(const std::byte* row, int64_t input) {
    return *reinterpret_cast<const uint4*>(row + 2 * input);
  }
  __device__ __forceinline__ static float dot(const Eight& a, const uint4& b) {
    return low_bf16(a.x) * low_bf16(b.x) + high_bf16(a.x) * high_bf16(b.x) +
           low_bf16(a.y) * low_bf16(b.y) + high_bf16(a.y) * high_bf16(b.y) +
           low_bf16(a.z) * low_bf16(b.z) + high_bf16(a.z) * high_bf16(b.z) +
           low_bf16(a.w) * low_bf16(b.w) + high_bf16(a.w) * high_bf16(b.w);
  }
};

struct Int8Rows {
  using Eight = uint2;
  static constexpr bool scaled = true;
  static constexpr quant::Format format = quant::Format::int8;

  __device__ static int64_t row_bytes(int64_t inputs) { return inputs + int64_t{sizeof(float)}; }
  __device__ __forceinline__ static float scale(const std::byte* row) {
    return *reinterpret_cast<const float*>(row);
  }
  /// Rows begin at multiples of 4 bytes, not of 8. Codes become bytes from 0 on.
  __device__ __forceinline__ static Eight load(const std::byte* row, int64_t input) {
    const auto* codes = reinterpret_cast<const uint32_t*>(row + sizeof(float) + input);
    return {codes[0] ^ 0x80808080u, codes[1] ^ 0x80808080u};
  }
  /// A byte below the exponent of 2^23 is that number more.
  template <int byte>
  __device__ __forceinline__ static float number(uint32_t bytes) {
    return __uint_as_float(__byte_perm(bytes, 0x4b000000u, 0x7440u | byte)) - (0x1p23f + 128);
  }
  __device__ __forceinline__ static float dot(const Eight& a, const uint4& b) {
    return number<0>(a.x) * low_bf16(b.x) + number<1>(a.x) * high_bf16(b.x) +
           number<2>(a.x) * low_bf16(b.y) + number<3>(a.x) * high_bf16(b.y) +
           number<0>(a.y) * low_bf16(b.z) + number<1>(a.y) * high_bf16(b.z) +
           number<2>(a.y) * low_bf16(b.w) + number<3>(a.y) * high_bf16(b.w);
  }
};

/// y[r, o] = W[o, :] x[r, :] for rows r < rows and outputs o of [begin, end), x and y bf16. Strides
/// in numbers; x_row and inputs are multiples of 8.
struct HeadPart {
  const std::byte* weights;  // of the head: [outputs, inputs]
  int64_t inputs, begin, end;
  const uint16_t* x;  // in global or shared memory
  int64_t x_row, rows;
  uint16_t* y;
  int64_t y_row;
};

/// The matrix of a head.
template <class Rows>
__device__ __forceinline__ const std::byte* matrix_of(const HeadMatrices& all, int64_t head,
                                                      int64_t outputs, int64_t inputs) {
  return all.data + head * outputs * Rows::row_bytes(inputs);
}

/// Calls f<Bf16Rows or Int8Rows>().
template <class F>
void with_rows(quant::Format format, const F& f) noexcept {
  if (format == Int8Rows::format)
    f.template operator()<Int8Rows>();
  else
    f.template operator()<Bf16Rows>();
}

/// The weights that a thread waits for together: of n outputs, at `steps` steps along the inputs.
/// `lanes` lanes of a warp share an output's inputs, eight at a time.
template <class Rows, int lanes, int n, int steps>
struct HeadWeights {
  typename Rows::Eight of[n][steps];
  float scale[Rows::scaled ? n : 1];

  /// Outputs that a block has at a time.
  static constexpr int outputs(int threads) { return n * threads / lanes; }

  /// Zeros where there are none.
  __device__ __forceinline__ void load(const HeadPart& part, int64_t output, int64_t input,
                                       int sharing) {
#pragma unroll
    for (int k = 0; k < n; ++k) {
      const int64_t o = output + k * sharing;
      const std::byte* row = part.weights + o * Rows::row_bytes(part.inputs);
      const bool there = o < part.end;
#pragma unroll
      for (int s = 0; s < steps; ++s) {
        const int64_t i = input + s * 8 * lanes;
        of[k][s] = there && i < part.inputs ? Rows::load(row, i) : typename Rows::Eight{};
      }
      if constexpr (Rows::scaled) scale[k] = there ? Rows::scale(row) : 0.0f;
    }
  }
  /// Those that multiply_part() begins with, before x is there.
  __device__ __forceinline__ void load_first(const HeadPart& part, int thread, int threads) {
    load(part, part.begin + thread / lanes, 8 * (thread % lanes), threads / lanes);
  }
};

/// For up to R rows, at least one; all of the block's `threads` come here. weights: the first are
/// loaded.
template <int R, class Rows, int lanes, int n, int steps>
__device__ __forceinline__ void multiply_part(const HeadPart& part,
                                              HeadWeights<Rows, lanes, n, steps>& weights,
                                              int thread, int threads) {
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
          for (int k = 0; k < n; ++k) sums[k][r] += Rows::dot(weights.of[k][s], x);
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
        if constexpr (Rows::scaled) sums[k][r] *= weights.scale[k];
        const int64_t of = output + k * sharing;
        if (lane == 0 && of < part.end) part.y[r * part.y_row + of] = f32_to_bf16(sums[k][r]);
      }
  }
}

}  // namespace ktx::ops::cuda
