// What the kernels of the absorbed attention share: which pages of which row a block takes next,
// and where its sums go.
#pragma once

#include "ops/attention/cuda_absorbed.hpp"
#include "ops/attention/cuda_schedule.hpp"
#include "ops/cuda/numbers.cuh"

namespace ktx::ops::cuda {

extern const AbsorbedKernel absorbed_mma, absorbed_wgmma;

constexpr float lowest_score = -1e30f;

/// Arguments of the kernels; beside AbsorbedArgs where the partial sums go.
struct AbsorbedWork {
  AbsorbedArgs args;
  float scale;      // args.scale * log2(e): scores are exponents of 2
  int groups;       // of blocks
  float* partial;   // [slots, heads, mla_latents]
  float2* weights;  // [slots, heads] the largest score, the sum of exp2(score - largest)
};

__device__ inline PageSchedule schedule_of(const AbsorbedWork& work) {
  const int32_t* before = work.args.batch.pages_before;
  return {before[work.args.row_end] - before[work.args.row_begin], work.groups};
}

/// The pages of a row in the schedule's list.
__device__ inline PageRange pages_of_row(const AbsorbedWork& work, int64_t row) {
  const int32_t* before = work.args.batch.pages_before;
  const int32_t base = before[work.args.row_begin];
  return {before[row] - base, before[row + 1] - base};
}

/// The row that page `page` of the list belongs to: all threads look at rows of their own.
__device__ inline int32_t find_row(const AbsorbedWork& work, int32_t page) {
  __shared__ int32_t found;
  for (int64_t row = work.args.row_begin + threadIdx.x; row < work.args.row_end;
       row += blockDim.x) {
    const PageRange range = pages_of_row(work, row);
    if (range.begin <= page && page < range.end) found = static_cast<int32_t>(row);
  }
  __syncthreads();
  return found;
}

/// Pages of one row that a block takes in one go.
struct Piece {
  int32_t row;
  int32_t slot;          // of its partial sums; -1: all of the row, no partial sums
  const int32_t* pages;  // numbers of its pages
  int32_t keys;          // of the piece
};

/// The piece that begins at page `at` of the list, of `row`, and ends at `end` or with the row.
/// Moves `at` behind it.
__device__ inline Piece next_piece(const AbsorbedWork& work, const PageSchedule& schedule,
                                   int group, int32_t row, int32_t& at, int32_t end) {
  constexpr int32_t page_tokens = graph::page_tokens;
  const Batch& batch = work.args.batch;
  const PageRange range = pages_of_row(work, row);
  const int32_t first = at - range.begin;
  const int32_t stop = end < range.end ? end : range.end;
  const bool whole = at == range.begin && stop == range.end;
  const int32_t until = (stop - range.begin) * page_tokens, tokens = batch.position_of[row] + 1;
  at = stop;
  return {row, whole ? -1 : schedule.slot(group, range),
          batch.pages + batch.sequence_of[row] * batch.most_pages + first,
          (until < tokens ? until : tokens) - first * page_tokens};
}

/// Eight codes, scaled, as bf16.
__device__ inline uint4 scaled_codes(uint2 codes, float scale) {
  const auto pair = [&](uint32_t word, int at) {
    const float2 values = e4m3_pair_to_f32(static_cast<uint16_t>(word >> at));
    return bf16_pair(scale * values.x, scale * values.y);
  };
  return make_uint4(pair(codes.x, 0), pair(codes.x, 16), pair(codes.y, 0), pair(codes.y, 16));
}

}  // namespace ktx::ops::cuda
