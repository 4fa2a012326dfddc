// What assemblies share: reading parts into one scratch, scales, blocks of 4-bit codes; private to
// src/loader.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/quant/half.hpp"
#include "loader/assembly.hpp"

namespace ktx::loader {

/// Hands out scratch piece by piece, each aligned to 64 bytes. Of scratch that begins anywhere
/// `slack` bytes are lost.
class ScratchPieces {
 public:
  static constexpr size_t slack = 63;

  explicit ScratchPieces(std::span<std::byte> scratch)
      : left_(scratch.subspan(padded(address(scratch)) - address(scratch))) {}

  static size_t padded(size_t bytes) { return (bytes + 63) / 64 * 64; }
  static size_t read_bytes(const StoredRows& rows, int64_t first, int64_t count) {
    return padded(rows.file->scratch_bytes(offset_of(rows, first), size_of(rows, count)));
  }

  std::byte* take(size_t bytes) {
    std::byte* const at = left_.data();
    left_ = left_.subspan(std::min(left_.size(), padded(bytes)));
    return at;
  }
  const std::byte* read(const StoredRows& rows, int64_t first, int64_t count) {
    const size_t bytes = read_bytes(rows, first, count);
    return rows.file->read(offset_of(rows, first), size_of(rows, count), {take(bytes), bytes});
  }

 private:
  static size_t address(std::span<std::byte> bytes) {
    return reinterpret_cast<uintptr_t>(bytes.data());
  }
  static uint64_t offset_of(const StoredRows& rows, int64_t first) {
    return rows.range.offset + static_cast<uint64_t>(first) * rows.row_bytes;
  }
  static size_t size_of(const StoredRows& rows, int64_t count) {
    return static_cast<size_t>(static_cast<uint64_t>(count) * rows.row_bytes);
  }

  std::span<std::byte> left_;
};

inline size_t scale_bytes(ScaleType type) {
  return type == ScaleType::f32 ? 4 : type == ScaleType::e8m0 ? 1 : 2;
}

template <class T>
T load(const std::byte* at, int64_t index = 0) {
  T value;
  std::memcpy(&value, at + index * static_cast<int64_t>(sizeof value), sizeof value);
  return value;
}

/// Scale number `index` from an address on.
inline float scale_at(ScaleType type, const std::byte* at, int64_t index) {
  switch (type) {
    case ScaleType::f32:
      return load<float>(at, index);
    case ScaleType::f16:
      return quant::f16_to_f32(load<uint16_t>(at, index));
    case ScaleType::bf16:
      return quant::bf16_to_f32(load<uint16_t>(at, index));
    case ScaleType::e8m0:
      break;
  }
  const auto code = load<uint8_t>(at, index);
  if (code == 255) return std::numeric_limits<float>::quiet_NaN();
  return std::bit_cast<float>(code == 0 ? 0x00400000u : static_cast<uint32_t>(code) << 23);
}

/// The format that keeps symmetric 4-bit numbers with such scales as they are; f32: none does.
inline quant::Format symmetric_format(int bits, int64_t group, ScaleType type) {
  using enum quant::Format;
  if (bits != 4 || group % 32 != 0) return f32;
  if (type == ScaleType::f16) return q4_0;
  if (type != ScaleType::bf16) return f32;
  return group % 128 == 0 ? int4_128 : group % 64 == 0 ? int4_64 : int4_32;
}

/// Codes of 4 bits, two a byte, the first in the low bits.
inline void unpack_nibbles(const std::byte* packed, int64_t count, uint8_t* codes) {
  for (int64_t i = 0; i < count / 2; ++i) {
    const auto both = static_cast<uint8_t>(packed[i]);
    codes[2 * i] = both & 15;
    codes[2 * i + 1] = both >> 4;
  }
}

/// The codes of a block of 4 bits: byte i holds that of weight i and, above it, that of weight
/// i + weights / 2. Returns their end.
inline std::byte* write_codes(const uint8_t* codes, int64_t weights, std::byte* out) {
  for (int64_t i = 0; i < weights / 2; ++i)
    out[i] = static_cast<std::byte>(codes[i] | codes[i + weights / 2] << 4);
  return out + weights / 2;
}

/// A block of int4/G or q4_0, which both are a scale of 16 bits, then codes. Returns its end.
inline std::byte* write_block(uint16_t scale, const uint8_t* codes, int64_t weights,
                              std::byte* out) {
  std::memcpy(out, &scale, sizeof scale);
  return write_codes(codes, weights, out + sizeof scale);
}

/// A row of such blocks. scales: of 16 bits, one for every `group` columns.
inline std::byte* write_row(quant::Format format, const uint8_t* codes, int64_t cols,
                            const std::byte* scales, int64_t group, std::byte* out) {
  const int64_t weights = quant::info(format).block;
  for (int64_t c = 0; c < cols; c += weights)
    out = write_block(load<uint16_t>(scales, c / group), codes + c, weights, out);
  return out;
}

}  // namespace ktx::loader
