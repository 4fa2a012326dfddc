// The sums of two groups of 16 rows with up to 16 tokens, by one warp (few_rows_index.hpp).
//
// The chunks that a lane needs of a step's weights go straight to its registers, all before the
// first is used: many warps fit on a multiprocessor, and while some wait for a step others compute.
// Through shared memory they would cost two instructions each, and twice the width of its ports.
// Those of the activations, for which no registers are left, do go there, all at once too.
#pragma once

#include "ops/cuda/launch.cuh"
#include "ops/cuda/warp.cuh"
#include "ops/matmul/cuda/few_rows_index.hpp"

namespace ktx::ops::cuda {

/// sums[k][n][i]: row 4 q + 2 k + i / 2 of the lane's group, token 8 n + 2 t + i % 2.
template <int Tiles>
using FewRowsSums = float[2][Tiles][4];

/// A lane's load of 4, 8 or 16 bytes into words of `to`. The compiler keeps it where it is written;
/// others it moves to where their numbers are needed, so that each is waited for. Codes are read
/// once: 16 bytes pass by the L1 cache.
template <int Bytes>
__device__ __forceinline__ void load_piece(uint32_t* to, const void* from) {
  if constexpr (Bytes == 16) {
    asm volatile("ld.global.L1::no_allocate.L2::128B.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "l"(from)
                 : "memory");
  } else if constexpr (Bytes == 8) {
    asm volatile("ld.global.v2.u32 {%0,%1}, [%2];"
                 : "=r"(to[0]), "=r"(to[1])
                 : "l"(from)
                 : "memory");
  } else {
    asm volatile("ld.global.u32 %0, [%1];" : "=r"(to[0]) : "l"(from) : "memory");
  }
}

/// 16 bytes to shared memory that other warps read too: through L1, without waiting. Zeros, and
/// nothing is read, if they are not there.
__device__ __forceinline__ void copy_cached(void* shared, const void* from, bool there) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
               "r"(there ? 16 : 0)
               : "memory");
}

__device__ __forceinline__ uint32_t add_pairs(uint32_t a, uint32_t b) {
  uint32_t sum;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(sum) : "r"(a), "r"(0x3f803f80u), "r"(b));
  return sum;
}
__device__ __forceinline__ uint32_t multiply_pairs(uint32_t a, uint32_t b) {
  uint32_t product;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(product) : "r"(a), "r"(b), "r"(0x80008000u));
  return product;
}

/// Four 16-bit scales as floats.
template <bool Bf16>
__device__ __forceinline__ void to_floats(uint32_t a, uint32_t b, float (&out)[4]) {
  if constexpr (Bf16) {
    out[0] = low_bf16(a), out[1] = high_bf16(a), out[2] = low_bf16(b), out[3] = high_bf16(b);
  } else {
    const auto two = [](uint32_t pair) { return __half22float2(reinterpret_cast<__half2&>(pair)); };
    const float2 low = two(a), high = two(b);
    out[0] = low.x, out[1] = low.y, out[2] = high.x, out[3] = high.y;
  }
}

/// d times byte `index` of packed: exact, as 2^23 + byte is a float.
__device__ __forceinline__ float times_byte(float d, uint32_t packed, int index) {
  const float byte = __uint_as_float(__byte_perm(packed, 0x4b000000u, 0x7440 | index));
  return fmaf(d, byte, d * -8388608.f);
}

/// What a step's 32-column blocks share: scales of the lane's four rows.
template <X16 Format>
struct StepScales {
  static constexpr StepChunks chunks = step_chunks(Format);
  static constexpr bool of_k = Format == X16::q4_k || Format == X16::q5_k;

  float d[4], min[4];
  uint32_t scale_bytes[4], min_bytes[4];  // q4_k, q5_k: of four sub-blocks

  /// chunk(i): the lane's chunk.
  template <class Chunk>
  __device__ __forceinline__ void read(const Chunk& chunk) {
    if constexpr (of_k) {
      const uint4 scales = chunk(chunks.scales_at());
      to_floats<false>(scales.x, scales.y, d);
      to_floats<false>(scales.z, scales.w, min);
      for (int r = 0; r < 4; ++r) min[r] *= 1 / 128.f;  // it is multiplied by -128 sums of x
    } else if constexpr (Format == X16::q6_k) {
      const uint4 scales = chunk(chunks.scales_at());
      to_floats<false>(scales.x, scales.y, d);
    } else if constexpr (Format == X16::fp8) {
      const uint4 w = chunk(chunks.scales_at());
      d[0] = __uint_as_float(w.x), d[1] = __uint_as_float(w.y);
      d[2] = __uint_as_float(w.z), d[3] = __uint_as_float(w.w);
    }
  }

  /// The scales of block b, and of q4_k and q5_k what its mins are worth; blocks in order.
  template <class Chunk>
  __device__ __forceinline__ void of_block(const Chunk& chunk, int b, float (&s)[4],
                                           float (&m)[4]) {
    if constexpr (of_k) {
      if (b % 4 == 0) unpack(chunk, b != 0);
      for (int r = 0; r < 4; ++r) {
        s[r] = times_byte(d[r], scale_bytes[r], b % 4);
        m[r] = times_byte(min[r], min_bytes[r], b % 4);
      }
    } else if constexpr (Format == X16::q6_k || Format == X16::fp8) {
      for (int r = 0; r < 4; ++r) s[r] = d[r];
    } else {
      constexpr X16Codes shape = x16_codes(Format);
      const int unit = b * 32 / shape.unit;
      const uint4 scales = chunk(chunks.scales_at() + unit / 2);
      if (unit % 2 == 0)
        to_floats<shape.bf16>(scales.x, scales.y, s);
      else
        to_floats<shape.bf16>(scales.z, scales.w, s);
    }
  }

  /// The 6-bit scales and mins of the first four sub-blocks, or of the second.
  template <class Chunk>
  __device__ __forceinline__ void unpack(const Chunk& chunk, bool second) {
    const uint4 first = chunk(chunks.words_at()), middle = chunk(chunks.words_at() + 1),
                last = chunk(chunks.words_at() + 2);
    const uint32_t a[4] = {first.x, first.y, first.z, first.w};
    const uint32_t b[4] = {middle.x, middle.y, middle.z, middle.w};
    const uint32_t c[4] = {last.x, last.y, last.z, last.w};
    for (int r = 0; r < 4; ++r) {
      scale_bytes[r] = second ? (c[r] & 0x0f0f0f0f) | (a[r] >> 2 & 0x30303030) : a[r] & 0x3f3f3f3f;
      min_bytes[r] =
          second ? (c[r] >> 4 & 0x0f0f0f0f) | (b[r] >> 2 & 0x30303030) : b[r] & 0x3f3f3f3f;
    }
  }
};

/// Whether blocks have scales; int8 has one a row, which the caller multiplies by.
constexpr bool has_block_scales(X16 format) noexcept {
  return format != X16::bf16 && format != X16::int8;
}

/// The codes of block b as bf16 pairs, of 4 to 6 bits 128 + code: of each row of the lane's four.
template <X16 Format, class Chunk>
__device__ __forceinline__ void block_codes(const Chunk& chunk, int b, int t, uint32_t of_128,
                                            uint32_t (&pairs)[4][4]) {
  constexpr StepChunks step = step_chunks(Format);
  if constexpr (Format == X16::bf16) {
    for (int i = 0; i < 4; ++i) {
      const uint4 w = chunk(4 * b + i);
      pairs[0][i] = w.x, pairs[1][i] = w.y, pairs[2][i] = w.z, pairs[3][i] = w.w;
    }
  } else if constexpr (Format == X16::fp8) {
    for (int i = 0; i < 2; ++i) {
      const uint4 w = chunk(2 * b + i);
      for (int r = 0; r < 4; ++r) {
        const uint32_t high_bytes = 0x4000u + r * 0x1010u;  // selects byte r of both words
        pairs[r][2 * i] =
            multiply_pairs(e4m3_to_bf16(__byte_perm(w.x, w.y, high_bytes)), 0x7b807b80u);
        pairs[r][2 * i + 1] =
            multiply_pairs(e4m3_to_bf16(__byte_perm(w.z, w.w, high_bytes)), 0x7b807b80u);
      }
    }
  } else if constexpr (step.codes == 2) {  // 8 bits
    for (int i = 0; i < 2; ++i) {
      const uint4 w = chunk(2 * b + i);
      const uint32_t words[4] = {w.x, w.y, w.z, w.w};
      for (int r = 0; r < 4; ++r)
        for (int odd = 0; odd < 2; ++odd) {
          const BytePair two = bytes_to_bf16(words[r] >> 8 * odd, of_128);
          pairs[r][2 * i + odd] = add_pairs(two.low, two.sign);
        }
    }
  } else {
    const uint4 w = chunk(b), h = step.high != 0 ? chunk(step.high_at() + b) : uint4{};
    constexpr int bits = Format == X16::q6_k ? 6 : step.high != 0 ? 5 : 4;
    const uint32_t low[4] = {w.x, w.y, w.z, w.w}, high[4] = {h.x, h.y, h.z, h.w};
    for (int r = 0; r < 4; ++r)
      codes_to_bf16<bits>(low[r], bits > 4 ? high[r] >> high_shift<bits>(t) : 0, of_128, pairs[r]);
  }
}

/// The same, of q6_k times their scales, which change within mma's 16 columns.
template <X16 Format, class Chunk>
__device__ __forceinline__ void block_pairs(const Chunk& chunk, int b, int t, uint32_t of_128,
                                            uint32_t (&pairs)[4][4]) {
  block_codes<Format>(chunk, b, t, of_128, pairs);
  if constexpr (Format == X16::q6_k) {
    const uint4 k = chunk(step_chunks(Format).words_at() + b / 2);
    const uint32_t scales[4] = {k.x, k.y, k.z, k.w};
    for (int r = 0; r < 4; ++r) {
      const float scale = static_cast<int8_t>(scales[r] >> 8 * (2 * (b % 2) + t / 2) & 255);
      const uint32_t both = bf16_pair(scale, scale);
      for (int i = 0; i < 4; ++i)
        pairs[r][i] = multiply_pairs(add_pairs(pairs[r][i], 0xc320c320u), both);
    }
  }
}

/// A lane's chunks of the weights of a step.
template <X16 Format>
struct StepWeights {
  uint4 chunks[step_chunks(Format).all()];
};

/// In shared memory, a warp's chunks of the activations of a step: the lane that asks for one is
/// the one that reads it.
template <X16 Format, int Tiles>
struct StepTokens {
  uint4 chunks[Tiles][step_chunks(Format).blocks()][32];
};

constexpr int steps_ahead = 2;  // so that what waits in L2 for all warps is a third of an H100's

/// Where a lane finds them.
template <X16 Format, int Tiles>
struct StepLoader {
  static constexpr StepChunks step = step_chunks(Format);

  const uint8_t* group;      // the lane's group
  const uint16_t* x[Tiles];  // the lane's columns of its tokens; null: no token
  StepParts lane;
  int cols;
  int step_bytes;  // of a group, about

  __device__ __forceinline__ void load(StepWeights<Format>& to, int at) const {
    const int first = at * step.columns;
    if (!may_end_early(Format) || first + step.columns <= cols)
      load_blocks<true>(to, first, step.blocks());
    else
      load_blocks<false>(to, first, (cols - first) / 32);
  }

  /// Asks for the weights of the next few steps to come to L2, which step `at` of a warp's has not
  /// asked for yet.
  __device__ __forceinline__ void fetch_behind(int at, StepRange steps) const {
    for (int next = at == steps.begin ? at + 1 : at + steps_ahead;
         next <= at + steps_ahead && next < steps.end; ++next)
      fetch_to_l2(group + next * step_bytes, step_bytes, threadIdx.x % 16, 16);
  }

  /// Asks for the lane's activations of a step, whose weights come meanwhile. They are zero where
  /// there is no token, and behind the last column.
  __device__ __forceinline__ void copy_tokens(StepTokens<Format, Tiles>& to, int at) const {
#pragma unroll
    for (int n = 0; n < Tiles; ++n)
#pragma unroll
      for (int b = 0; b < step.blocks(); ++b) {
        const int column = at * step.columns + 32 * b;
        const bool there = x[n] != nullptr && (!may_end_early(Format) || column < cols);
        copy_cached(&to.chunks[n][b][threadIdx.x % 32], x[n] + column, there);
      }
  }

 private:
  template <bool Whole>
  __device__ __forceinline__ void load_blocks(StepWeights<Format>& to, int first,
                                              int blocks) const {
    const StepParts parts = step_parts(Format, first);
    const uint8_t* from[] = {group + (parts.codes + lane.codes), group + (parts.high + lane.high),
                             group + (parts.words + lane.words),
                             group + (parts.scales + lane.scales)};
#pragma unroll
    for (int i = 0; i < step.all(); ++i) {
      const int bytes = piece_bytes(Format, i);
      uint32_t words[4] = {};
#pragma unroll
      for (int p = 0; p < 16 / bytes; ++p) {
        const ChunkPlace place = chunk_place(Format, i, p, Whole ? step.blocks() : blocks);
        if (place.part == StepPart::none) continue;
        const uint8_t* source = from[static_cast<int>(place.part)] + place.offset;
        if (bytes == 4) load_piece<4>(words + p, source);
        if (bytes == 8) load_piece<8>(words + 2 * p, source);
        if (bytes == 16) load_piece<16>(words, source);
      }
      to.chunks[i] = {words[0], words[1], words[2], words[3]};
    }
  }
};

/// sums += the products of a block of 32 columns: w of the lane's rows, y of its token. zeros:
/// minus_zero.
template <X16 Format>
__device__ __forceinline__ void add_block(const uint32_t (&w)[4][4], const uint32_t (&y)[4],
                                          const float (&s)[4], const float (&m)[4],
                                          const uint32_t (&zeros)[4], float (&low_rows)[4],
                                          float (&high_rows)[4]) {
  float less[4] = {};  // minus the sum of x times what code 0 stands for, in every row
  if constexpr (minus_zero(Format) != 0) {
    mma_bf16(less, zeros, y[0], y[1], less);
    mma_bf16(less, zeros, y[2], y[3], less);
  }
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    const uint32_t first[4] = {w[2 * k][0], w[2 * k + 1][0], w[2 * k][1], w[2 * k + 1][1]};
    const uint32_t second[4] = {w[2 * k][2], w[2 * k + 1][2], w[2 * k][3], w[2 * k + 1][3]};
    float(&sum)[4] = k == 0 ? low_rows : high_rows;
    if constexpr (!has_block_scales(Format)) {
      mma_bf16(sum, first, y[0], y[1], sum);
      mma_bf16(sum, second, y[2], y[3], sum);
    } else {
      float part[4];
      mma_bf16(part, first, y[0], y[1], less);
      mma_bf16(part, second, y[2], y[3], part);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sum[i] = fmaf(s[2 * k + i / 2], part[i], sum[i]);
        if constexpr (StepScales<Format>::of_k) sum[i] = fmaf(m[2 * k + i / 2], less[i], sum[i]);
      }
    }
  }
}

/// Adds the products of a step.
template <X16 Format, int Tiles>
__device__ __forceinline__ void add_step(const StepWeights<Format>& weights,
                                         const StepTokens<Format, Tiles>& tokens,
                                         FewRowsSums<Tiles>& sums) {
  constexpr StepChunks step = step_chunks(Format);
  const int t = threadIdx.x % 4;
  const uint32_t of_128 = bf16_128 + blockDim.z - 1;  // z is 1
  const uint32_t zero = of_128 ^ bf16_128 ^ minus_zero(Format);
  const uint32_t zeros[4] = {zero, zero, zero, zero};
  const auto chunk = [&weights](int i) { return weights.chunks[i]; };
  StepScales<Format> scales;
  scales.read(chunk);
#pragma unroll
  for (int b = 0; b < step.blocks(); ++b) {
    uint32_t w[4][4];
    block_pairs<Format>(chunk, b, t, of_128, w);
    float s[4], m[4];
    if constexpr (has_block_scales(Format)) scales.of_block(chunk, b, s, m);
#pragma unroll
    for (int n = 0; n < Tiles; ++n) {
      const uint4 v = tokens.chunks[n][b][threadIdx.x % 32];
      uint32_t y[4] = {v.x, v.y, v.z, v.w};
      if constexpr (!in_natural_order(Format)) {
        y[0] = __byte_perm(v.x, v.y, 0x5410), y[1] = __byte_perm(v.x, v.y, 0x7632);
        y[2] = __byte_perm(v.z, v.w, 0x5410), y[3] = __byte_perm(v.z, v.w, 0x7632);
      }
      add_block<Format>(w, y, s, m, zeros, sums[0][n], sums[1][n]);
    }
  }
}

/// Adds the products of steps [begin, end). The weights of the first are asked for before the
/// kernel that writes what they are multiplied by has ended; those of the next few are on their way
/// to L2 by then, so that the memory is busy from one kernel to the next.
template <X16 Format, int Tiles>
__device__ __forceinline__ void add_few_rows(const StepLoader<Format, Tiles>& loader,
                                             StepTokens<Format, Tiles>& tokens, StepRange steps,
                                             FewRowsSums<Tiles>& sums) {
  for (int at = steps.begin; at < steps.end; ++at) {
    StepWeights<Format> weights;
    loader.load(weights, at);
    loader.fetch_behind(at, steps);
    if (at == steps.begin) await_previous();
    loader.copy_tokens(tokens, at);
    end_copies();
    await_copies<0>();
    __syncwarp();  // the compiler moves no load behind it
    add_step<Format, Tiles>(weights, tokens, sums);
  }
  if (steps.begin == steps.end) await_previous();
}

}  // namespace ktx::ops::cuda
