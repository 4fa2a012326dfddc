// Rows of the embedding matrix on a GPU.
#pragma once

#include <cstddef>
#include <string>

#include "core/device/queue.hpp"
#include "core/quant/format.hpp"

namespace ktx::ops::cuda {

/// y[t, :] = row ids[t] of a matrix in Layout::rows; all in the GPU's memory.
struct EmbeddingArgs {
  const std::byte* weights = nullptr;  // [rows, cols], rows of quant::row_bytes(format, cols)
  quant::Format format = quant::Format::f32;
  int64_t cols = 0;
  const int32_t* ids = nullptr;  // [tokens], each in [0, rows); -1: an unused row, made zero
  int64_t tokens = 0;
  float* y = nullptr;  // [tokens, cols]
  int64_t y_stride = 0;
};

/// Empty when rows of the format can be read, else the reason.
std::string embedding_refusal(quant::Format format);

void embedding(const EmbeddingArgs& args, const device::Queue& queue) noexcept;

}  // namespace ktx::ops::cuda
