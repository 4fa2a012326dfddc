// The instructions that kernels share: bf16 pairs, tensor cores, copies into shared memory, sums of
// a warp, blocks that meet.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace ktx::ops::cuda {

constexpr unsigned every_lane = 0xffffffffu;

__device__ __forceinline__ float low_bf16(uint32_t pair) {
  return __uint_as_float(pair << 16);
}
__device__ __forceinline__ float high_bf16(uint32_t pair) {
  return __uint_as_float(pair & 0xffff0000u);
}
/// Two floats rounded to bf16, `low` in the low half.
__device__ __forceinline__ uint32_t bf16_pair(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

/// sum = a b + c of a 16x16 and a 16x8 tile of bf16; c may be sum. Of lane l with g = l / 4, t = l
/// % 4: a holds rows g, g + 8, g, g + 8 at columns 2t, 2t + 1, the last two at 2t + 8, 2t + 9; b
/// rows 2t, 2t + 1 and 2t + 8, 2t + 9 of column g; sum rows g, g, g + 8, g + 8 at columns 2t, 2t +
/// 1, 2t, 2t + 1.
__device__ __forceinline__ void mma_bf16(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0,
                                         uint32_t b1, const float (&c)[4]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%10,%11,%12,%13};"
      : "=f"(sum[0]), "=f"(sum[1]), "=f"(sum[2]), "=f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(c[0]), "f"(c[1]),
        "f"(c[2]), "f"(c[3]));
}
__device__ __forceinline__ void mma_bf16(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0,
                                         uint32_t b1) {
  mma_bf16(sum, a, b0, b1, sum);
}

/// 16 bytes from global to shared memory, past L1, without waiting.
__device__ __forceinline__ void copy_async(void* shared, const void* global) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to), "l"(global)
               : "memory");
}
__device__ __forceinline__ void end_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Waits until at most `Left` of the groups ended by end_copies() are under way.
template <int Left>
__device__ __forceinline__ void await_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Left) : "memory");
}

__device__ __forceinline__ float warp_sum(float x) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(every_lane, x, step);
  return x;
}

/// A block's `threads` ask for what lies there to be brought to L2; nobody waits for it.
__device__ __forceinline__ void fetch_to_l2(const void* from, int64_t bytes, int thread,
                                            int threads) {
  constexpr int line = 128;
#pragma unroll 1  // code that runs once is read from memory too
  for (int64_t at = int64_t{thread} * line; at < bytes; at += int64_t{threads} * line)
    asm volatile("prefetch.global.L2 [%0];" ::"l"(static_cast<const char*>(from) + at));
}

/// One more block has come to what several work on, and how many came before it; what its threads
/// wrote before a barrier is seen by those whose later arrival counts this one.
__device__ __forceinline__ unsigned arrive(unsigned* arrived) {
  unsigned before;
  asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], 1;"
               : "=r"(before)
               : "l"(arrived)
               : "memory");
  return before;
}

}  // namespace ktx::ops::cuda
