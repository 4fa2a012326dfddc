// Weights of the formats with codebooks, IQ1 to IQ3, in Layout::x16 one by one, for host and device
// (x16_decode.hpp). The words of a block lie as in the format itself: quant/blocks.hpp says what
// they hold, and integer/x86_codebook_formats.hpp counts them.
#pragma once

#include <cstdint>

#include "core/quant/half.hpp"
#include "core/quant/iq_codes.hpp"
#include "ops/matmul/x16_args.hpp"

namespace ktx::ops::cuda {

/// 32-bit words of a block behind its scale d; of iq1_m, whose d lies in them, of all of it. 0: a
/// format without codebook.
constexpr int codebook_words(X16 format) noexcept {
  switch (format) {
    case X16::iq3_s:
      return 27;
    case X16::iq3_xxs:
      return 24;
    case X16::iq2_s:
      return 20;
    case X16::iq2_xs:
      return 18;
    case X16::iq2_xxs:
      return 16;
    case X16::iq1_s:
      return 12;
    case X16::iq1_m:
      return 14;
    default:
      return 0;
  }
}

/// The codebooks on the CPU; a GPU has a copy in its own memory.
struct HostCodebooks {
  template <X16 Format>
  static constexpr const uint64_t* codes() noexcept {
    if constexpr (Format == X16::iq3_s) return quant::iq3_s_codes;
    if constexpr (Format == X16::iq3_xxs) return quant::iq3_xxs_codes;
    if constexpr (Format == X16::iq2_s) return quant::iq2_s_codes;
    if constexpr (Format == X16::iq2_xs) return quant::iq2_xs_codes;
    if constexpr (Format == X16::iq2_xxs) return quant::iq2_xxs_codes;
    return quant::iq1_codes;
  }
};

/// 8 columns of a row: entries of the codebook, the second of iq3 alone; sign bits; and what their
/// values are multiplied by and moved by.
struct CodebookEight {
  uint32_t index[2];
  uint32_t signs;
  float scale, offset;
};

/// The 8 sign bits for 7.
constexpr uint32_t even_signs(uint32_t seven) noexcept {
  return seven | (0x6996u >> ((seven ^ seven >> 4) & 15) & 1) << 7;
}

/// iq1_m's scale d from the last words of its block.
constexpr float iq1_m_scale(uint32_t first, uint32_t second) noexcept {
  const uint32_t bits =
      (first >> 12 & 15) | first >> 28 << 4 | (second >> 12 & 15) << 8 | second >> 28 << 12;
  return quant::f16_to_f32(static_cast<uint16_t>(bits));
}

/// Columns 32 j + 8 octet and the next 7 of a block. word(n): its n-th word, of the row.
template <X16 Format, class Word>
constexpr CodebookEight codebook_eight(const Word& word, float d, int j, int octet) noexcept {
  const auto odd = [](uint32_t q) { return static_cast<float>(2 * q + 1); };
  const auto nibble = [&](int first, int n) { return word(first + n / 8) >> 4 * (n % 8) & 15; };
  const auto byte = [&](int first, int n) { return word(first + n / 4) >> 8 * (n % 4) & 255; };
  const int half = 2 * j + octet / 2;  // of the block's 16 times 16 columns
  if constexpr (Format == X16::iq3_s) {
    const uint32_t high = byte(16, j) >> 2 * octet;
    return {{byte(0, 8 * j + 2 * octet) | (high & 1) << 8,
             byte(0, 8 * j + 2 * octet + 1) | (high >> 1 & 1) << 8},
            byte(18, 4 * j + octet),
            d * odd(nibble(26, j)),
            0};
  } else if constexpr (Format == X16::iq3_xxs) {
    const uint32_t signs = word(16 + j);
    return {{byte(0, 8 * j + 2 * octet), byte(0, 8 * j + 2 * octet + 1)},
            even_signs(signs >> 7 * octet & 127),
            d * odd(signs >> 28) * 0.25f,
            0};
  } else if constexpr (Format == X16::iq2_s) {
    const uint32_t high = byte(16, j) >> 2 * octet & 3;
    return {{byte(0, 4 * j + octet) | high << 8, 0},
            byte(8, 4 * j + octet),
            d * odd(nibble(18, half)) * 0.125f,
            0};
  } else if constexpr (Format == X16::iq2_xs) {
    const uint32_t both = word(2 * j + octet / 2) >> 16 * (octet % 2) & 0xffff;
    return {{both & 511, 0}, even_signs(both >> 9), d * odd(nibble(16, half)) * 0.125f, 0};
  } else if constexpr (Format == X16::iq2_xxs) {
    const uint32_t signs = word(2 * j + 1);
    return {{word(2 * j) >> 8 * octet & 255, 0},
            even_signs(signs >> 7 * octet & 127),
            d * odd(signs >> 28) * 0.125f,
            0};
  } else if constexpr (Format == X16::iq1_s) {
    const uint32_t high = word(8 + j / 2) >> 16 * (j % 2) & 0xffff;
    return {{byte(0, 4 * j + octet) | (high >> 3 * octet & 7) << 8, 0},
            0,
            d * odd(high >> 12 & 7),
            (high & 0x8000) != 0 ? -0.125f : 0.125f};
  } else {
    const uint32_t high = nibble(8, 4 * j + octet);
    const uint32_t scales = word(12 + half / 8) >> (16 * (half / 4 % 2) + 3 * (half % 4));
    return {{byte(0, 4 * j + octet) | (high & 7) << 8, 0},
            0,
            iq1_m_scale(word(12), word(13)) * odd(scales & 7),
            (high & 8) != 0 ? -0.125f : 0.125f};
  }
}

/// Up to eight levels in the bytes of a word, from which a GPU shifts them instead of loading them.
constexpr uint64_t packed_levels(const int8_t* levels, int count) noexcept {
  uint64_t all = 0;
  for (int i = count - 1; i >= 0; --i) all = all << 8 | static_cast<uint8_t>(levels[i]);
  return all;
}

/// The values that the fields of an entry's code stand for.
template <X16 Format>
constexpr uint64_t codebook_levels() noexcept {
  if (Format == X16::iq3_s) return packed_levels(quant::iq3_s_values, 8);
  if (Format == X16::iq3_xxs) return packed_levels(quant::iq3_xxs_values, 8);
  if (Format == X16::iq1_s || Format == X16::iq1_m) return packed_levels(quant::iq1_values, 3);
  return packed_levels(quant::iq2_values, 3);
}

/// Columns 32 j + 8 octet and the next 7 of a block.
template <X16 Format, class Codebooks, class Word>
constexpr void decode_codebook(const Word& word, float d, int j, int octet,
                               float (&out)[8]) noexcept {
  constexpr bool quads = Format == X16::iq3_s || Format == X16::iq3_xxs;
  constexpr int bits = quads ? 4 : 2, weights = quads ? 4 : 8;  // of a field; of an entry
  const CodebookEight eight = codebook_eight<Format>(word, d, j, octet);
  constexpr uint64_t levels = codebook_levels<Format>();
  const uint64_t* codes = Codebooks::template codes<Format>();
  for (int i = 0; i < 8; ++i) {
    const uint32_t code = quant::grid_code(codes, eight.index[i / weights]);
    const uint32_t field = code >> bits * (i % weights) & ((1u << bits) - 1);
    const float value = static_cast<float>(static_cast<int8_t>(levels >> 8 * field)) + eight.offset;
    out[i] = eight.scale * (eight.signs >> i & 1 ? -value : value);
  }
}

}  // namespace ktx::ops::cuda
