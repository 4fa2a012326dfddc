// Random weights and activations for benchmarks, packed for a kernel.
#pragma once

#include <vector>

#include "core/base/buffer.hpp"
#include "core/hw/worker_pool.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::engine {

/// Bytes of one matrix as its decode kernel reads it.
int64_t packed_bytes(const ops::PackedMatrix& matrix) noexcept;

/// `count` matrices of the same shape, one after the other on 2 MiB pages.
class PackedStack {
 public:
  /// matrix: everything but the data. Throws environment error when memory is short.
  PackedStack(const ops::PackedMatrix& matrix, int count, hw::WorkerPool& pool);

  ops::PackedMatrix at(int i) const noexcept;
  /// The first matrix, as ops::moe takes a stack of experts.
  ops::PackedMatrix experts() const noexcept;

 private:
  ops::PackedMatrix matrix_;
  int64_t bytes_;
  base::Buffer data_;
};

/// Random numbers between -1 and 1, the same with every call.
std::vector<float> some_activations(int64_t count);

}  // namespace ktx::engine
