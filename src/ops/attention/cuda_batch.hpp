// The batch of a step and a layer's cache as GPU kernels see them: plain arrays in the GPU's
// memory, read while kernels run, so that a captured graph serves every batch of its shape.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/device/queue.hpp"
#include "ops/attention/kv_pages.hpp"

namespace ktx::ops::cuda {

/// Which rows of a step belong to which sequence. A step has `rows` rows; those that no sequence
/// names are unused: nothing is written for them.
struct Batch {
  int64_t rows = 0, sequences = 0;
  const int32_t* first_row = nullptr;  // [sequences]
  const int32_t* row_count = nullptr;  // [sequences] 0: an unused sequence
  const int32_t* past = nullptr;       // [sequences] tokens before the first row
  const int32_t* pages = nullptr;      // [sequences, most_pages] numbers of pages, in order
  int64_t most_pages = 0;

  // What number_rows() writes.
  int32_t* sequence_of = nullptr;   // [rows] -1: unused
  int32_t* position_of = nullptr;   // [rows] in its sequence
  int32_t* pages_before = nullptr;  // [rows + 1] pages that the rows before see, all together
};

/// Derives the arrays of rows from those of sequences: once a step, for all layers. Kernels behind
/// it may read all of a batch before they wait for the kernels before them (ops/cuda/launch.cuh).
void number_rows(const Batch& batch, const device::Queue& queue) noexcept;

/// Numbers in f32 or in bf16: one of the two.
struct EitherNumbers {
  const float* f32 = nullptr;
  const uint16_t* bf16 = nullptr;

  /// Those from the i-th one on.
  constexpr EitherNumbers from(int64_t i) const noexcept {
    return {f32 == nullptr ? nullptr : f32 + i, bf16 == nullptr ? nullptr : bf16 + i};
  }
};

/// A rope's table (RopeTable) in the GPU's memory.
struct Rope {
  const float* cos_sin = nullptr;  // [positions, 2, pairs]
  int pairs = 0;
  bool interleaved = false;
};

}  // namespace ktx::ops::cuda
