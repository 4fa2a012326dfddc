// Rows of a module's weight, gathered from the tensors of the checkpoint that hold them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/graph/module.hpp"
#include "loader/checkpoint.hpp"

namespace ktx::engine {

/// Reads the rows of a weight as they are stored: count * rows rows of cols numbers, or count *
/// cols rows of `rows` numbers when the weight is stored transposed. Safe to use from several
/// threads.
class WeightReader {
 public:
  /// Throws input error when the source's tensors are not those that the weight was made from.
  WeightReader(const loader::TensorSource& source, const graph::Weight& weight);

  int64_t stored_cols() const noexcept { return stored_cols_; }
  int64_t stored_row_bytes() const noexcept { return row_bytes_; }
  quant::Format format() const noexcept { return format_; }

  /// Rows [first, first + rows) one after another in the format's row layout: a pointer into the
  /// checkpoint when they lie together there, else into scratch (rows * stored_row_bytes() bytes).
  const std::byte* read(int64_t first, int64_t rows, std::span<std::byte> scratch) const;

  /// Tells the source that the weight will be read soon, or that it has been consumed.
  void prefetch() const;
  void release() const;

 private:
  struct Part {
    const graph::TensorMeta* tensor;
    int64_t begin, end;  // rows of the weight
    int64_t tensor_row;  // of `begin`
  };
  const loader::TensorSource& source_;
  quant::Format format_;
  int64_t stored_cols_, row_bytes_;
  std::vector<Part> parts_;
};

}  // namespace ktx::engine
