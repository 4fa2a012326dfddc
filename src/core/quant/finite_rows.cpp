// Where each format keeps its floating-point numbers, and loops over them that vectorize.
#include "core/quant/finite_rows.hpp"

#include <cstring>

#include "core/quant/blocks.hpp"

namespace ktx::quant {
namespace {

// A number is NaN or infinite when all bits of its exponent are set: as integers, magnitudes from
// there on.
struct Half {
  using Bits = uint16_t;
  static constexpr Bits infinite = 0x7c00;
};
struct Bf16 {
  using Bits = uint16_t;
  static constexpr Bits infinite = 0x7f80;
};
struct Single {
  using Bits = uint32_t;
  static constexpr Bits infinite = 0x7f800000u;
};

template <class Number>
bool all_finite(const std::byte* at, int64_t n, int64_t stride) noexcept {
  using Bits = typename Number::Bits;
  bool bad = false;
  for (int64_t i = 0; i < n; ++i) {
    Bits bits;
    std::memcpy(&bits, at + i * stride, sizeof bits);
    bad |= (bits & Number::infinite) == Number::infinite;
  }
  return !bad;
}

/// The same of numbers without gaps.
template <class Number>
bool all_finite(const std::byte* at, int64_t n) noexcept {
  return all_finite<Number>(at, n, sizeof(typename Number::Bits));
}

/// Codes of which some stand for NaN.
bool has_code(const std::byte* at, int64_t n, uint8_t mask, uint8_t code) noexcept {
  bool found = false;
  for (int64_t i = 0; i < n; ++i) found |= (static_cast<uint8_t>(at[i]) & mask) == code;
  return found;
}

bool fp8_is_finite(const std::byte* blocks, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    const std::byte* block = blocks + i * static_cast<int64_t>(sizeof(BlockFp8));
    if (!all_finite<Single>(block, 1)) return false;
    if (has_code(block + offsetof(BlockFp8, q), sizeof(BlockFp8::q), 0x7f, 0x7f)) return false;
  }
  return true;
}

/// A quarter of the scale stands in the top nibble of each of four words.
bool iq1_m_is_finite(const std::byte* blocks, int64_t n) noexcept {
  bool bad = false;
  for (int64_t i = 0; i < n; ++i) {
    BlockIQ1M block;
    std::memcpy(&block, blocks + i * static_cast<int64_t>(sizeof block), sizeof block);
    // The exponent of an f16: bits 10 to 14, two of the third quarter and three of the fourth.
    bad |= (block.scales[2] >> 12 & 0xc) == 0xc && (block.scales[3] >> 12 & 0x7) == 0x7;
  }
  return !bad;
}

/// f16 scales at one or two places of a block.
template <class Block>
bool halves_are_finite(const std::byte* blocks, int64_t n, size_t first, int scales = 1) noexcept {
  bool finite = true;
  for (int s = 0; s < scales; ++s)
    finite &= all_finite<Half>(blocks + first + static_cast<size_t>(s) * 2, n, sizeof(Block));
  return finite;
}

}  // namespace

bool are_finite(Format format, const std::byte* stored, int64_t rows, int64_t cols) noexcept {
  const FormatInfo& row = info(format);
  const int64_t bytes = rows * row_bytes(format, cols);
  const int64_t n = row.block == 0 ? rows : bytes / row.block_bytes;  // blocks
  using enum Format;
  switch (format) {
    case f32:
      return all_finite<Single>(stored, n);
    case f16:
      return all_finite<Half>(stored, n);
    case bf16:
      return all_finite<Bf16>(stored, n);
    case fp8:
      return fp8_is_finite(stored, n);
    case q4_0:
      return halves_are_finite<BlockQ4_0>(stored, n, 0);
    case q4_1:
      return halves_are_finite<BlockQ4_1>(stored, n, 0, 2);
    case q5_0:
      return halves_are_finite<BlockQ5_0>(stored, n, 0);
    case q5_1:
      return halves_are_finite<BlockQ5_1>(stored, n, 0, 2);
    case q8_0:
      return halves_are_finite<BlockQ8_0>(stored, n, 0);
    case q2_k:
      return halves_are_finite<BlockQ2K>(stored, n, offsetof(BlockQ2K, d), 2);
    case q3_k:
      return halves_are_finite<BlockQ3K>(stored, n, offsetof(BlockQ3K, d));
    case q4_k:
      return halves_are_finite<BlockQ4K>(stored, n, 0, 2);
    case q5_k:
      return halves_are_finite<BlockQ5K>(stored, n, 0, 2);
    case q6_k:
      return halves_are_finite<BlockQ6K>(stored, n, offsetof(BlockQ6K, d));
    case iq4_nl:
      return halves_are_finite<BlockIQ4NL>(stored, n, 0);
    case iq4_xs:
      return halves_are_finite<BlockIQ4XS>(stored, n, 0);
    case iq3_s:
      return halves_are_finite<BlockIQ3S>(stored, n, 0);
    case iq3_xxs:
      return halves_are_finite<BlockIQ3XXS>(stored, n, 0);
    case iq2_s:
      return halves_are_finite<BlockIQ2S>(stored, n, 0);
    case iq2_xs:
      return halves_are_finite<BlockIQ2XS>(stored, n, 0);
    case iq2_xxs:
      return halves_are_finite<BlockIQ2XXS>(stored, n, 0);
    case iq1_s:
      return halves_are_finite<BlockIQ1S>(stored, n, 0);
    case iq1_m:
      return iq1_m_is_finite(stored, n);
    case mxfp4:
      for (int64_t i = 0; i < n; ++i)
        if (stored[i * row.block_bytes] == std::byte{255}) return false;
      return true;
    case int8:
      return all_finite<Single>(stored, rows, row_bytes(format, cols));
    case int8_32:
    case int8_64:
    case int8_128:
    case int4_32:
    case int4_64:
    case int4_128:
      return all_finite<Bf16>(stored, n, row.block_bytes);
  }
  return false;
}

}  // namespace ktx::quant
