// Reads the rows of a module's weight from the checkpoint's tensors that hold them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
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

  /// A text that identifies the weight's bytes without reading them (TensorSource::stamp).
  std::string stamp() const;

  /// The tensor that holds a row, and the row's number in it.
  struct StoredRow {
    const graph::TensorMeta* tensor;
    int64_t row;
  };
  StoredRow stored_at(int64_t row) const;

  /// Bytes of scratch that read() needs.
  size_t scratch_bytes(int64_t first, int64_t rows) const;

  /// Rows [first, first + rows) one after another in the format's row layout, somewhere inside
  /// scratch. Throws what the source throws.
  const std::byte* read(int64_t first, int64_t rows, std::span<std::byte> scratch) const;

 private:
  struct Part {
    const graph::TensorMeta* tensor;
    int64_t begin, end;  // rows of the weight
    int64_t tensor_row;  // of `begin`
  };
  /// The rows of [first, first + rows) that lie in one part; `row` is the tensor's.
  struct Run {
    const graph::TensorMeta* tensor;
    int64_t row, rows;
  };
  std::vector<Run> runs(int64_t first, int64_t rows) const;

  const loader::TensorSource& source_;
  int64_t row_bytes_;
  std::vector<Part> parts_;
};

}  // namespace ktx::engine
