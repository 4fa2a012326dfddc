// Random content of tensors: valid blocks of every format that is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/quant/format.hpp"

namespace ktx::engine {

/// Numbers of one distribution in one format, as they lie in a file: rows of blocks, for fp8 the
/// plain e4m3 codes without their scales.
///
/// Quantizing floats would be hundreds of times slower than a disk. Instead 256 variants of four
/// blocks are made carefully (scales, exponents), and each unit written is one of them, at random,
/// with fresh random bits where any bits are valid: codes, signs, mantissas.
class RandomNumbers {
 public:
  /// Symmetric about 0 with that standard deviation (of the e4m3 codes themselves for fp8).
  /// Formats: f32, bf16, fp8, q8_0, q5_0, q4_k, q6_k; others are a `bug` error.
  static RandomNumbers spread(quant::Format format, double deviation);
  /// Between 0.65 and 1.41 times `center`, for norms and scales. Formats: f32, bf16.
  static RandomNumbers around(quant::Format format, double center);

  /// Bytes after which a new unit begins.
  size_t unit_bytes() const noexcept { return free_bits_.size() * sizeof(uint64_t); }
  static size_t unit_bytes(quant::Format format);

  /// Whole units, the last one cut off where `out` ends. The same seed gives the same bytes.
  void fill(std::span<std::byte> out, uint64_t seed) const noexcept;

  struct BlockKind;

 private:
  RandomNumbers() = default;
  static RandomNumbers make(const BlockKind& kind, double parameter);

  std::vector<uint64_t> variants_;   // units, one after another
  std::vector<uint64_t> free_bits_;  // of a unit
};

}  // namespace ktx::engine
