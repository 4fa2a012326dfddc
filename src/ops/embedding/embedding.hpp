// Rows of the embedding matrix, decoded from any format.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/hw/worker_pool.hpp"
#include "core/quant/format.hpp"

namespace ktx::ops {

/// y[t, :] = row ids[t] of a matrix in Layout::rows.
struct EmbeddingArgs {
  const std::byte* weights = nullptr;  // [rows, cols], rows of quant::row_bytes(format, cols)
  quant::Format format = quant::Format::f32;
  int64_t cols = 0;
  const int32_t* ids = nullptr;  // [tokens], each in [0, rows)
  int64_t tokens = 0;
  float* y = nullptr;  // [tokens, cols]
  int64_t y_stride = 0;
};

void embedding(const EmbeddingArgs& args, hw::WorkerPool& pool) noexcept;

}  // namespace ktx::ops
