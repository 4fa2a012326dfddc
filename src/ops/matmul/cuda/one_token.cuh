// The sums of two groups of 16 rows with one token, by one warp.
//
// Of a tile of 8 tokens all columns but one would be empty. Here a step's blocks of columns take
// their place: column j of mma's sums is the part of block j, because the token's numbers stand in
// column j for block j alone and are zero there for the others. So sums are scaled once a step and
// not once a block, each lane by the scales of its two columns alone; and q6_k's scales, which
// change every 16 columns, are those of columns too.
#pragma once

#include "ops/matmul/cuda/few_rows.cuh"

namespace ktx::ops::cuda {

/// Whether one token is multiplied this way: where scales are what costs.
constexpr bool has_one_token(X16 format) noexcept {
  return has_block_scales(format);
}

/// What is subtracted from 128 + code, as minus_zero(); of q6_k too, whose codes come unscaled.
constexpr uint32_t minus_zero_of_codes(X16 format) noexcept {
  return format == X16::q6_k ? 0xc320c320 : minus_zero(format);
}

/// Which 8 columns of a step a lane has of the token.
template <X16 Format>
struct TokenColumns {
  int block;   // of 32 columns
  bool there;  // else its numbers are zero
  int first;

  __device__ explicit TokenColumns(int lane) {
    const int g = lane / 4, t = lane % 4;
    const bool halves = Format == X16::q6_k;
    block = halves ? g / 2 : g;
    there = halves ? t / 2 == g % 2 : g < step_chunks(Format).blocks();
    first = 32 * block + 8 * t;
  }
};

/// One of n chunks, the first where there is no such.
template <class Chunk>
__device__ __forceinline__ uint4 chunk_of(const Chunk& chunk, int first, int n, int index) {
  uint4 picked = chunk(first);
#pragma unroll
  for (int i = 1; i < n; ++i)
    if (index == i) picked = chunk(first + i);
  return picked;
}

/// The scales of the lane's four rows in its two columns of mma's sums, and of q4_k and q5_k what
/// their mins are worth.
template <X16 Format>
struct ColumnScales {
  float s[2][4], m[2][4];

  template <class Chunk>
  __device__ __forceinline__ ColumnScales(const Chunk& chunk, int t) {
    constexpr StepChunks chunks = step_chunks(Format);
    StepScales<Format> step;
    step.read(chunk);
    if constexpr (StepScales<Format>::of_k) {
      step.unpack(chunk, t >= 2);
      for (int j = 0; j < 2; ++j)
        for (int r = 0; r < 4; ++r) {
          s[j][r] = times_byte(step.d[r], step.scale_bytes[r], t % 2 * 2 + j);
          m[j][r] = times_byte(step.min[r], step.min_bytes[r], t % 2 * 2 + j);
        }
    } else if constexpr (Format == X16::q6_k) {
      const uint4 k = chunk_of(chunk, chunks.words_at(), chunks.words, t / 2);
      const uint32_t words[4] = {k.x, k.y, k.z, k.w};
      for (int j = 0; j < 2; ++j)
        for (int r = 0; r < 4; ++r)
          s[j][r] = step.d[r] * static_cast<int8_t>(words[r] >> 8 * (t % 2 * 2 + j) & 255);
    } else if constexpr (Format == X16::fp8) {
      for (int j = 0; j < 2; ++j)
        for (int r = 0; r < 4; ++r) s[j][r] = step.d[r];
    } else {
      constexpr X16Codes shape = x16_codes(Format);
      const int unit = 2 * t * 32 / shape.unit;
      const uint4 two = chunk_of(chunk, chunks.scales_at(), chunks.scales, unit / 2);
      const bool second = unit % 2 != 0;
      to_floats<shape.bf16>(second ? two.z : two.x, second ? two.w : two.y, s[0]);
      if constexpr (shape.unit == 32)
        to_floats<shape.bf16>(two.z, two.w, s[1]);
      else
        for (int r = 0; r < 4; ++r) s[1][r] = s[0][r];
    }
  }
};

/// Of each of the lane's four rows, in its two columns.
using ColumnSums = float[2][4];

/// Adds the products of a step; x: the lane's numbers of the token.
template <X16 Format>
__device__ __forceinline__ void add_step(const StepWeights<Format>& weights, const uint4& x,
                                         int own_block, ColumnSums& sums) {
  constexpr StepChunks step = step_chunks(Format);
  const int t = threadIdx.x % 4;
  const uint32_t of_128 = bf16_128 + blockDim.z - 1;  // z is 1
  const auto chunk = [&weights](int i) { return weights.chunks[i]; };
  uint32_t y[4] = {x.x, x.y, x.z, x.w};
  if constexpr (!in_natural_order(Format)) {
    y[0] = __byte_perm(x.x, x.y, 0x5410), y[1] = __byte_perm(x.x, x.y, 0x7632);
    y[2] = __byte_perm(x.z, x.w, 0x5410), y[3] = __byte_perm(x.z, x.w, 0x7632);
  }
  float less[4] = {};  // of all blocks: minus the sum of x times what code 0 stands for
  if constexpr (minus_zero_of_codes(Format) != 0) {
    const uint32_t zero = of_128 ^ bf16_128 ^ minus_zero_of_codes(Format);
    const uint32_t zeros[4] = {zero, zero, zero, zero};
    mma_bf16(less, zeros, y[0], y[1], less);
    mma_bf16(less, zeros, y[2], y[3], less);
  }
  constexpr int chains = step.blocks() > 4 ? 2 : 1;  // of sums, so that they are short
  float part[2][chains][4] = {};
#pragma unroll
  for (int k = 0; k < 2; ++k)
#pragma unroll
    for (int i = 0; i < 4; ++i) part[k][0][i] = less[i];
#pragma unroll
  for (int b = 0; b < step.blocks(); ++b) {
    uint32_t w[4][4], of_block[4];
    block_codes<Format>(chunk, b, t, of_128, w);
#pragma unroll
    for (int i = 0; i < 4; ++i) of_block[i] = own_block == b ? y[i] : 0;
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const uint32_t first[4] = {w[2 * k][0], w[2 * k + 1][0], w[2 * k][1], w[2 * k + 1][1]};
      const uint32_t second[4] = {w[2 * k][2], w[2 * k + 1][2], w[2 * k][3], w[2 * k + 1][3]};
      mma_bf16(part[k][0], first, of_block[0], of_block[1]);
      mma_bf16(part[k][chains - 1], second, of_block[2], of_block[3]);
    }
  }
  const ColumnScales<Format> scales(chunk, t);
#pragma unroll
  for (int j = 0; j < 2; ++j)
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int k = r / 2, i = r % 2 * 2 + j;
      const float sum = chains > 1 ? part[k][0][i] + part[k][chains - 1][i] : part[k][0][i];
      sums[j][r] = fmaf(scales.s[j][r], sum, sums[j][r]);
      if constexpr (StepScales<Format>::of_k)
        sums[j][r] = fmaf(scales.m[j][r], less[i], sums[j][r]);
    }
}

/// Adds the products of steps [begin, end), as add_few_rows() does; x: the token. Its sums are
/// where a tile of tokens would have them.
template <X16 Format>
__device__ __forceinline__ void add_one_token(const StepLoader<Format, 1>& loader,
                                              const uint16_t* x, StepRange steps,
                                              FewRowsSums<1>& sums) {
  constexpr int columns = step_chunks(Format).columns;
  const TokenColumns<Format> own(threadIdx.x % 32);
  ColumnSums parts = {};
  for (int at = steps.begin; at < steps.end; ++at) {
    StepWeights<Format> weights;
    loader.load(weights, at);
    loader.fetch_behind(at, steps);
    if (at == steps.begin) await_previous();
    const int column = at * columns + own.first;
    uint32_t numbers[4] = {};
    if (own.there && (!may_end_early(Format) || column < loader.cols))
      load_piece<16>(numbers, x + column);
    add_step<Format>(weights, {numbers[0], numbers[1], numbers[2], numbers[3]}, own.block, parts);
  }
  if (steps.begin == steps.end) await_previous();
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    float sum = parts[0][r] + parts[1][r];
    sum += __shfl_xor_sync(every_lane, sum, 1);
    sum += __shfl_xor_sync(every_lane, sum, 2);
    sums[r / 2][0][r % 2 * 2] = sum;
  }
}

}  // namespace ktx::ops::cuda
