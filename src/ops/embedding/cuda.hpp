// Rows of the embedding matrix on a GPU.
#pragma once

#include <cstddef>

#include "core/device/queue.hpp"
#include "core/quant/format.hpp"

namespace ktx::ops::cuda {

/// y[t, :] = row ids[t] of a matrix in Layout::rows; all in the GPU's memory. See embedding_refusal
/// (ops/cuda/refusals.hpp).
struct EmbeddingArgs {
  const std::byte* weights = nullptr;  // [rows, cols], rows of quant::row_bytes(format, cols)
  quant::Format format = quant::Format::f32;
  int64_t cols = 0;
  const int32_t* ids = nullptr;  // [tokens], each in [0, rows); -1: an unused row, made zero
  int64_t tokens = 0;
  float* y = nullptr;  // [tokens, cols]
  int64_t y_stride = 0;
};

void embedding(const EmbeddingArgs& args, const device::Queue& queue) noexcept;

}  // namespace ktx::ops::cuda
