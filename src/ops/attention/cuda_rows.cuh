// Single numbers of cached rows and of rotated vectors, for kernels that are not made of tiles.
#pragma once

#include "ops/attention/cuda_batch.hpp"
#include "ops/cuda/numbers.cuh"

namespace ktx::ops::cuda {

/// The cached row of a sequence's token.
__device__ inline std::byte* row_of(const KvPages& cache, const Batch& batch, int32_t sequence,
                                    int64_t position) {
  constexpr int64_t tokens = graph::page_tokens;
  const int64_t page = batch.pages[sequence * batch.most_pages + position / tokens];
  return cache.data + (page * tokens + position % tokens) * cache.row_bytes;
}

/// Where an fp8 row holds its numbers that are not scaled.
__device__ inline int64_t exact_at(const graph::KvRow& row) {
  return row.scaled + 4 * ((row.scaled + row.group - 1) / row.group);
}

/// Number i of a cached row.
__device__ inline float number_at(const KvPages& cache, const std::byte* row, int i) {
  if (cache.format == graph::KvFormat::f32) return reinterpret_cast<const float*>(row)[i];
  if (cache.format == graph::KvFormat::bf16) {
    return bf16_to_f32(reinterpret_cast<const uint16_t*>(row)[i]);
  }
  const auto scaled = static_cast<int>(cache.row.scaled);
  if (i >= scaled) {
    const std::byte* exact = row + exact_at(cache.row);
    return bf16_to_f32(reinterpret_cast<const uint16_t*>(exact)[i - scaled]);
  }
  const float scale =
      reinterpret_cast<const float*>(row + scaled)[i / static_cast<int>(cache.row.group)];
  return scale * e4m3_to_f32(static_cast<uint32_t>(row[i]));
}

/// Either kind read as f32.
struct NumbersAsF32 {
  EitherNumbers numbers;
  __device__ float operator[](int64_t i) const {
    return numbers.f32 != nullptr ? numbers.f32[i] : bf16_to_f32(numbers.bf16[i]);
  }
};

/// Number i of x after the rotation of its first 2 * pairs numbers to `position`.
template <class Numbers>
__device__ inline float rotated(const Rope& rope, const Numbers& x, int i, int64_t position) {
  if (i >= 2 * rope.pairs) return x[i];
  const int pair = rope.interleaved ? i / 2 : i % rope.pairs;
  const bool second = rope.interleaved ? i % 2 == 1 : i >= rope.pairs;
  const float* cos = rope.cos_sin + position * 2 * rope.pairs + pair;
  const float sin = cos[rope.pairs];
  const int other = rope.interleaved ? i ^ 1 : (second ? i - rope.pairs : i + rope.pairs);
  const float one = x[i], two = x[other];
  return second ? one * *cos + two * sin : one * *cos - two * sin;
}

}  // namespace ktx::ops::cuda
