// What the kernels of the absorbed attention share: which pages of which row a block takes next,
// and where its sums go.
#pragma once

#include "ops/attention/cuda_absorbed.hpp"
#include "ops/attention/cuda_schedule.hpp"
#include "ops/cuda/numbers.cuh"

namespace ktx::ops::cuda {

extern const AbsorbedKernel absorbed_wgmma, absorbed_mma_64, absorbed_mma_32;

constexpr float lowest_score = -1e30f;

/// Arguments of the kernels; beside AbsorbedArgs where the partial sums go.
struct AbsorbedWork {
  AbsorbedArgs args;
  float scale;        // args.scale * log2(e): scores are exponents of 2
  int groups;         // of blocks
  uint16_t* partial;  // bf16 [slots, heads, mla_latents] what the slot's keys alone would give
  float2* weights;    // [slots, heads] the largest score, the sum of exp2(score - largest)
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

/// What a block must know of a row.
struct RowPages {
  int32_t row = 0, sequence = 0, position = 0;
  PageRange range;
};

__device__ inline RowPages row_pages(const AbsorbedWork& work, int64_t row) {
  const Batch& batch = work.args.batch;
  return {static_cast<int32_t>(row), batch.sequence_of[row], batch.position_of[row],
          pages_of_row(work, row)};
}

/// Pages of one row that a block takes in one go.
struct Piece {
  int32_t row;
  int32_t slot;          // of its partial sums; -1: all of the row, no partial sums
  const int32_t* pages;  // numbers of its pages
  int32_t keys;          // of the piece; 0: there is none
};

/// What a block has left to do: pages of the list, and the row in which it is.
struct Todo {
  PageRange pages;
  RowPages row;
};

/// By all threads of a block of group `group`: they look at rows of their own.
__device__ inline Todo todo_of(const AbsorbedWork& work, int group) {
  __shared__ Todo todo;
  for (int64_t row = work.args.row_begin + threadIdx.x; row < work.args.row_end;
       row += blockDim.x) {
    const RowPages at = row_pages(work, row);
    const PageRange pages = schedule_of(work).part_of(group);
    const bool none = pages.begin == pages.end && row == work.args.row_begin;
    if (none || (at.range.begin <= pages.begin && pages.begin < at.range.end)) todo = {pages, at};
  }
  __syncthreads();
  return todo;
}

/// Takes the next piece off it.
__device__ inline Piece next_piece(const AbsorbedWork& work, int group, Todo& todo) {
  constexpr int32_t page_tokens = graph::page_tokens;
  const int32_t begin = todo.pages.begin, end = todo.pages.end;
  if (begin == end) return {0, 0, nullptr, 0};
  while (todo.row.range.end <= begin) todo.row = row_pages(work, todo.row.row + 1);
  const PageRange range = todo.row.range;
  const int32_t first = begin - range.begin, stop = end < range.end ? end : range.end;
  const bool whole = begin == range.begin && stop == range.end;
  const int32_t until = (stop - range.begin) * page_tokens, tokens = todo.row.position + 1;
  todo.pages.begin = stop;
  return {todo.row.row, whole ? -1 : schedule_of(work).slot(group, range),
          work.args.batch.pages + todo.row.sequence * work.args.batch.most_pages + first,
          (until < tokens ? until : tokens) - first * page_tokens};
}

/// Where the attention of a head over a piece goes, bf16 [mla_latents]; null if there is no such
/// head.
__device__ inline uint16_t* sums_of(const AbsorbedWork& work, const Piece& piece, int head) {
  const int64_t heads = work.args.heads;
  if (head >= heads) return nullptr;
  return piece.slot < 0
             ? work.args.out + ((piece.row - work.args.row_begin) * heads + head) * mla_latents
             : work.partial + (piece.slot * heads + head) * mla_latents;
}

/// 16 numbers of such sums from the lanes 4g + t that have, as products leave them, numbers 2t,
/// 2t + 1 of the first eight and of the second. All lanes of the warp come here.
__device__ inline void store_16(uint16_t* to, float2 first, float2 second) {
  const int t = threadIdx.x % 4;
  const bool odd = t % 2 != 0;
  const uint32_t a = bf16_pair(first.x, first.y), b = bf16_pair(second.x, second.y);
  const uint32_t other = __shfl_xor_sync(every_lane, odd ? a : b, 1);
  if (to == nullptr) return;
  *reinterpret_cast<uint2*>(to + (odd ? 8 + 2 * (t - 1) : 2 * t)) =
      odd ? make_uint2(other, b) : make_uint2(a, other);
}

/// Eight codes, scaled, as bf16.
__device__ inline uint4 scaled_codes(uint2 codes, float scale) {
  const auto pair = [&](uint32_t word, int at) {
    const float2 values = e4m3_pair_to_f32(static_cast<uint16_t>(word >> at));
    return bf16_pair(scale * values.x, scale * values.y);
  };
  return make_uint4(pair(codes.x, 0), pair(codes.x, 16), pair(codes.y, 0), pair(codes.y, 16));
}

/// Bytes of a row of an fp8 cache: codes and scales of the latents, then the rope's numbers in
/// bf16.
constexpr int fp8_row_bytes = mla_latents + 4 * (mla_latents / 128) + 2 * mla_rope;

/// Eight numbers of such a row, the chunk-th, as bf16.
__device__ inline uint4 decoded_chunk(const uint8_t* row, int chunk) {
  if (chunk < mla_latents / 8) {
    const float scale = reinterpret_cast<const float*>(row + mla_latents)[chunk / 16];
    return scaled_codes(*reinterpret_cast<const uint2*>(row + 8 * chunk), scale);
  }
  return *reinterpret_cast<const uint4*>(row + fp8_row_bytes - 2 * mla_rope +
                                         16 * (chunk - mla_latents / 8));
}

}  // namespace ktx::ops::cuda
