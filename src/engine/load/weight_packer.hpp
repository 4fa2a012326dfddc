// Packs a block of stored rows: decode, transpose, quantize, pack.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/graph/module.hpp"
#include "engine/load/weight_blocks.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::engine {

/// Where rows [row_begin, row_end) of a weight's matrices are packed to: matrix m at
/// data + slot(m) * matrix_bytes. row_begin is a multiple of ops::row_group.
struct Destination {
  std::byte* data = nullptr;
  int64_t row_begin = 0, row_end = 0;
  int64_t matrix_bytes = 0;
  /// [matrices of the weight] the index here of each, -1: not here. Null: all of them, in order.
  const int32_t* slots = nullptr;

  int64_t slot(int64_t matrix) const noexcept { return slots == nullptr ? matrix : slots[matrix]; }
};

/// Scratch of one worker; grows to the largest block it has packed.
struct PackScratch {
  std::vector<float> floats, turned;
  std::vector<std::byte> encoded;
};

class WeightPacker {
 public:
  WeightPacker(const graph::Weight& weight, quant::Format format, ops::Layout layout)
      : weight_(weight), format_(format), layout_(layout) {}

  /// stored: the block's rows as the checkpoint stores them. Every destination gets its rows.
  void pack(const WeightBlock& block, const std::byte* stored,
            std::span<const Destination> destinations, PackScratch& scratch) const;

  /// Bytes of scratch of one worker.
  static uint64_t scratch_bytes(const graph::Weight& weight, quant::Format format);

 private:
  const std::byte* converted(const std::byte* stored, int64_t rows, PackScratch& scratch) const;

  const graph::Weight& weight_;
  quant::Format format_;
  ops::Layout layout_;
};

}  // namespace ktx::engine
