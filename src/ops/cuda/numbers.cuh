// Numbers of 8 and 16 bits one by one, and reductions, for the kernels that are not made of tiles.
#pragma once

#include "ops/cuda/warp.cuh"

namespace ktx::ops::cuda {

__device__ inline float f16_to_f32(uint16_t bits) {
  return __half2float(__ushort_as_half(bits));
}

__device__ inline float bf16_to_f32(uint16_t bits) {
  return __uint_as_float(static_cast<uint32_t>(bits) << 16);
}

__device__ inline uint16_t f32_to_bf16(float x) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(x));
}

/// e4m3 without NaN: its bits are those of an f32 2^120 times smaller. Exact.
__device__ inline float e4m3_to_f32(uint32_t code) {
  return __uint_as_float((code & 0x80u) << 24 | (code & 0x7fu) << 20) * 0x1p120f;
}

/// Two of them, the code in the low byte first. From sm_89 on by one instruction.
__device__ inline float2 e4m3_pair_to_f32(uint16_t codes) {
#if __CUDA_ARCH__ >= 890
  uint32_t halves;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(codes));
  return __half22float2(reinterpret_cast<const __half2&>(halves));
#else
  return make_float2(e4m3_to_f32(codes & 255u), e4m3_to_f32(codes >> 8));
#endif
}

/// The code of the nearest value, of two the even code; 448 for all beyond. x is finite.
__device__ inline uint32_t f32_to_e4m3(float x) {
  const uint32_t bits = __float_as_uint(x);
  const uint32_t sign = bits >> 24 & 0x80u, magnitude = bits & 0x7fffffffu;
  if (magnitude >= 0x43e00000u) return sign | 0x7eu;
  if (magnitude < 0x3c800000u) {  // below 2^-6: f32 addition rounds to multiples of 2^-9
    return sign | (__float_as_uint(__uint_as_float(magnitude) + 0x1p14f) - 0x46800000u);
  }
  const uint32_t rounded = magnitude + 0x7ffffu + (magnitude >> 20 & 1u);
  return sign | (rounded - 0x3c000000u) >> 20;
}

__device__ inline float warp_max(float x) {
  for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(every_lane, x, step));
  return x;
}

/// The sum over a block of whole warps, in every thread; the order of addition is fixed.
__device__ inline float block_sum(float x) {
  __shared__ float sums[32];
  x = warp_sum(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = x;
  __syncthreads();
  const unsigned lane = threadIdx.x % 32;
  return warp_sum(lane < blockDim.x / 32 ? sums[lane] : 0.0f);
}

}  // namespace ktx::ops::cuda
