// Weights of Layout::x16 (layout_x16.hpp) one by one, for host and device: where their bits lie in
// a group of 16 rows, and what they are worth. Few multiplications decode this way; kernels of
// speed use few_rows_index.hpp.
#pragma once

#include <bit>
#include <cstdint>

#include "core/quant/blocks.hpp"
#include "core/quant/half.hpp"
#include "ops/matmul/cuda/x16_codebooks.hpp"
#include "ops/matmul/x16_args.hpp"

namespace ktx::ops::cuda {

/// How a format with integer codes lies in a group.
struct X16Codes {
  int bits;   // of a code
  int unit;   // columns that lie together
  int body;   // bytes of a unit without its 16-bit scales
  int codes;  // where in the body the codes begin
  int zero;   // the code of zero
  bool bf16;  // the kind of the 16-bit scales
};

/// Of the formats whose units lie in pairs.
constexpr X16Codes x16_codes(X16 format) noexcept {
  switch (format) {
    case X16::q4_0:
      return {4, 32, 256, 0, 8, false};
    case X16::iq4_nl:
      return {4, 32, 256, 0, 0, false};
    case X16::q5_0:
      return {5, 32, 320, 0, 16, false};
    case X16::q3_k:
      return {3, 256, 1728, 192, 4, false};
    case X16::q6_k:
      return {6, 256, 3328, 256, 32, false};
    case X16::q8_0:
      return {8, 32, 512, 0, 128, false};
    case X16::int8_32:
      return {8, 32, 512, 0, 128, true};
    case X16::int8_64:
      return {8, 64, 1024, 0, 128, true};
    case X16::int8_128:
      return {8, 128, 2048, 0, 128, true};
    case X16::int4_32:
      return {4, 32, 256, 0, 8, true};
    case X16::int4_64:
      return {4, 64, 512, 0, 8, true};
    case X16::int4_128:
      return {4, 128, 1024, 0, 8, true};
    default:
      return {};
  }
}

/// Whether units lie in pairs, behind the 16-bit scales of both.
constexpr bool in_pairs(X16 format) noexcept {
  return x16_codes(format).bits != 0;
}

/// Offsets in a group: of a unit's body, and of its 16-bit scales.
template <class Int>
constexpr Int pair_body(const X16Codes& codes, Int unit) noexcept {
  return unit / 2 * (64 + 2 * codes.body) + 64 + unit % 2 * codes.body;
}
template <class Int>
constexpr Int pair_scales(const X16Codes& codes, Int unit) noexcept {
  return unit / 2 * (64 + 2 * codes.body) + unit % 2 * 32;
}

/// Bytes of 16 rows of the units of 256 columns.
constexpr int q2_k_unit = 1344, q4_k_unit = 2304, q5_k_unit = 2816, iq4_xs_unit = 2176;
/// Where codes begin in those of q4_k, q5_k and iq4_xs.
constexpr int k_codes = 256, iq4_xs_codes = 128;
/// Bytes of 16 rows of four units of mxfp4.
constexpr int mxfp4_four = 64 + 4 * 256;
/// Bytes of 16 rows of 128 columns of fp8, which begin with 16 f32 scales.
constexpr int fp8_unit = 64 + 2048;

/// Scale and min of sub-block 0..7 from the three words of a row's 12 bytes (q4_k, q5_k).
struct ScaleMin {
  uint32_t scale, min;
};
constexpr ScaleMin k_scale_min(const uint32_t (&words)[3], int sub) noexcept {
  const int shift = 8 * (sub % 4);
  const uint32_t a = words[0] >> shift & 255, b = words[1] >> shift & 255,
                 c = words[2] >> shift & 255;
  if (sub < 4) return {a & 63, b & 63};
  return {(c & 15) | (a >> 6) << 4, (c >> 4) | (b >> 6) << 4};
}

/// Scale - 32 of sub-block 0..15 of q3_k; words(k): the k-th word of a row's 12 bytes.
template <class Words>
constexpr float q3_k_scale(const Words& words, int sub) noexcept {
  const int shift = 8 * (sub % 4);
  const uint32_t low = words(sub / 4 % 2) >> (shift + sub / 8 * 4) & 15;
  const uint32_t high = words(2) >> (shift + sub / 4 * 2) & 3;
  return static_cast<float>(static_cast<int>(low | high << 4) - 32);
}

constexpr float iq4_level(uint32_t code) noexcept {
  constexpr uint64_t low = packed_levels(quant::iq4_values, 8),
                     high = packed_levels(quant::iq4_values + 8, 8);
  return static_cast<int8_t>((code < 8 ? low : high) >> 8 * (code % 8) & 255);
}

constexpr float mxfp4_level(uint32_t code) noexcept {
  constexpr uint64_t low = packed_levels(quant::mxfp4_values, 8);
  const auto size = static_cast<float>(low >> 8 * (code % 8) & 255);
  return code < 8 ? size : -size;
}

/// The bf16 of an e4m3 code but for a factor of 2^120; exact, subnormal numbers too.
constexpr uint16_t e4m3_bits(uint32_t code) noexcept {
  return static_cast<uint16_t>((code & 0x80) << 8 | (code & 0x7f) << 4);
}

/// Columns whose codes lie together.
constexpr int part_of(const X16Codes& codes) noexcept {
  return codes.bits < 4 ? 64 : codes.unit;
}

/// The codes of columns [col, col + 8) of one row, col a multiple of 8 within the unit.
/// load(offset): the 32-bit word there, offset from the unit's codes, a multiple of 4.
template <int Bits, int Unit, class Load>
constexpr void read_codes(const Load& load, int row, int64_t col, uint32_t (&codes)[8]) noexcept {
  const int64_t vector = col / 4;  // of 8-bit codes
  if constexpr (Bits == 8) {
    for (int i = 0; i < 8; ++i)
      codes[i] = load((vector + i / 4) * 64 + 4 * row) >> 8 * (i % 4) & 255;
  } else {
    constexpr int low_bits = Bits < 4 ? 2 : 4, vectors = 8 / low_bits, high_bits = Bits - low_bits;
    const uint32_t low = load(vector / vectors * 64 + 4 * row);
    for (int i = 0; i < 8; ++i)
      codes[i] =
          low >> (8 * (i % 4) + low_bits * ((vector + i / 4) % vectors)) & ((1u << low_bits) - 1);
    if constexpr (high_bits > 0) {
      constexpr int in_word = 8 / high_bits;
      const uint32_t high = load(Unit * 2 * low_bits + vector / in_word * 64 + 4 * row);
      for (int i = 0; i < 8; ++i)
        codes[i] |= (high >> (8 * (i % 4) + high_bits * ((vector + i / 4) % in_word)) &
                     ((1u << high_bits) - 1))
                    << low_bits;
    }
  }
}

template <class Load>
constexpr uint16_t load_16(const Load& load, int64_t offset) noexcept {
  return static_cast<uint16_t>(load(offset & ~int64_t{3}) >> 8 * (offset & 2));
}

/// q4_1, q5_1: columns [col, col + 8) of a row.
template <X16 Format, class Load>
constexpr void decode_with_min(const Load& load, int row, int64_t col, float (&out)[8]) noexcept {
  constexpr int bits = Format == X16::q5_1 ? 5 : 4;
  const int64_t unit = col / 32 * (64 + 64 * bits);
  const float d = quant::f16_to_f32(load_16(load, unit + 2 * row));
  const float m = quant::f16_to_f32(load_16(load, unit + 32 + 2 * row));
  uint32_t codes[8]{};
  const auto at_codes = [&](int64_t offset) { return load(unit + 64 + offset); };
  read_codes<bits, 32>(at_codes, row, col % 32, codes);
  for (int i = 0; i < 8; ++i) out[i] = d * static_cast<float>(codes[i]) + m;
}

template <class Load>
constexpr void decode_q2_k(const Load& load, int row, int64_t col, float (&out)[8]) noexcept {
  const int64_t unit = col / 256 * q2_k_unit, part = unit + 64 + col % 256 / 64 * 320;
  const uint32_t scale = load(part + 4 * row) >> 8 * (col / 16 % 4) & 255;
  const float s = quant::f16_to_f32(load_16(load, unit + 2 * row)) * static_cast<float>(scale & 15);
  const float m =
      quant::f16_to_f32(load_16(load, unit + 32 + 2 * row)) * static_cast<float>(scale >> 4);
  uint32_t codes[8]{};
  const auto at_codes = [&](int64_t offset) { return load(part + 64 + offset); };
  read_codes<2, 64>(at_codes, row, col % 64, codes);
  for (int i = 0; i < 8; ++i) out[i] = s * static_cast<float>(codes[i]) - m;
}

/// q4_k, q5_k: columns [col, col + 8) of a row.
template <X16 Format, class Load>
constexpr void decode_k(const Load& load, int row, int64_t col, float (&out)[8]) noexcept {
  constexpr bool five = Format == X16::q5_k;
  const int64_t unit = col / 256 * (five ? q5_k_unit : q4_k_unit);
  const uint32_t words[3] = {load(unit + 64 + 4 * row), load(unit + 128 + 4 * row),
                             load(unit + 192 + 4 * row)};
  const auto [scale, min] = k_scale_min(words, static_cast<int>(col / 32 % 8));
  const float s = quant::f16_to_f32(load_16(load, unit + 2 * row)) * static_cast<float>(scale);
  const float m = quant::f16_to_f32(load_16(load, unit + 32 + 2 * row)) * static_cast<float>(min);
  uint32_t codes[8]{};
  const auto at_codes = [&](int64_t offset) { return load(unit + k_codes + offset); };
  read_codes<five ? 5 : 4, 256>(at_codes, row, col % 256, codes);
  for (int i = 0; i < 8; ++i) out[i] = s * static_cast<float>(codes[i]) - m;
}

template <class Load>
constexpr void decode_iq4_xs(const Load& load, int row, int64_t col, float (&out)[8]) noexcept {
  const int64_t unit = col / 256 * iq4_xs_unit;
  const int sub = static_cast<int>(col / 32 % 8);
  const uint32_t low = load(unit + 64 + 4 * row) >> 4 * sub & 15;
  const uint32_t high = load_16(load, unit + 32 + 2 * row) >> 2 * sub & 3;
  const float s =
      quant::f16_to_f32(load_16(load, unit + 2 * row)) * (static_cast<float>(low | high << 4) - 32);
  uint32_t codes[8]{};
  const auto at_codes = [&](int64_t offset) { return load(unit + iq4_xs_codes + offset); };
  read_codes<4, 256>(at_codes, row, col % 256, codes);
  for (int i = 0; i < 8; ++i) out[i] = s * iq4_level(codes[i]);
}

/// Units in fours, behind the 8-bit scales of all.
template <class Load>
constexpr void decode_mxfp4(const Load& load, int row, int64_t col, float (&out)[8]) noexcept {
  const int64_t four = col / 128 * mxfp4_four, unit = col / 32 % 4;
  const uint32_t scales = load(four + unit * 16 + row / 4 * 4);
  const float s = quant::mxfp4_scale(static_cast<uint8_t>(scales >> 8 * (row % 4)));
  uint32_t codes[8]{};
  const auto at_codes = [&](int64_t offset) { return load(four + 64 + unit * 256 + offset); };
  read_codes<4, 32>(at_codes, row, col % 32, codes);
  for (int i = 0; i < 8; ++i) out[i] = s * mxfp4_level(codes[i]);
}

/// Formats whose units lie in pairs.
template <X16 Format, class Load>
constexpr void decode_pairs(const Load& load, int row, int64_t col, float (&out)[8]) noexcept {
  constexpr X16Codes shape = x16_codes(Format);
  constexpr int part = part_of(shape);
  const int64_t unit = col / shape.unit, body = pair_body(shape, unit);
  const uint16_t half = load_16(load, pair_scales(shape, unit) + 2 * row);
  float s = shape.bf16 ? quant::bf16_to_f32(half) : quant::f16_to_f32(half);
  if constexpr (Format == X16::q6_k) {
    const int64_t sub = col % 256 / 16;
    const uint32_t scales = load(body + sub / 4 * 64 + 4 * row);
    s *= static_cast<float>(static_cast<int8_t>(scales >> 8 * (sub % 4)));
  }
  if constexpr (Format == X16::q3_k)
    s *= q3_k_scale([&](int k) { return load(body + k * 64 + 4 * row); },
                    static_cast<int>(col % 256 / 16));
  uint32_t codes[8]{};
  const int64_t begin = body + shape.codes + col % shape.unit / part * (part * 2 * shape.bits);
  const auto at_codes = [&](int64_t offset) { return load(begin + offset); };
  read_codes<shape.bits, part>(at_codes, row, col % part, codes);
  for (int i = 0; i < 8; ++i)
    out[i] =
        s * (Format == X16::iq4_nl ? iq4_level(codes[i])
                                   : static_cast<float>(static_cast<int>(codes[i]) - shape.zero));
}

/// Formats with codebooks: units of 256 columns, in pairs but for iq1_m.
template <X16 Format, class Codebooks, class Load>
constexpr void decode_codebook_unit(const Load& load, int row, int64_t col,
                                    float (&out)[8]) noexcept {
  constexpr X16Codes shape{.body = 64 * codebook_words(Format)};
  constexpr bool pairs = Format != X16::iq1_m;
  const int64_t unit = col / 256, block = pairs ? pair_body(shape, unit) : unit * shape.body;
  const float d = pairs ? quant::f16_to_f32(load_16(load, pair_scales(shape, unit) + 2 * row)) : 0;
  const auto word = [&](int n) { return load(block + 64 * n + 4 * row); };
  decode_codebook<Format, Codebooks>(word, d, static_cast<int>(col / 32 % 8),
                                     static_cast<int>(col / 8 % 4), out);
}

/// The weights of columns [col, col + 8) of one row; col a multiple of 8. load(offset): the 32-bit
/// word at that offset in the group, a multiple of 4. Codebooks: as HostCodebooks.
template <X16 Format, class Codebooks, class Load>
constexpr void decode_8(const Load& load, int row, int64_t col, float (&out)[8]) noexcept {
  if constexpr (Format == X16::f32) {
    for (int i = 0; i < 8; ++i) out[i] = std::bit_cast<float>(load(64 * (col + i) + 4 * row));
  } else if constexpr (Format == X16::f16) {
    for (int i = 0; i < 8; ++i) out[i] = quant::f16_to_f32(load_16(load, 32 * (col + i) + 2 * row));
  } else if constexpr (Format == X16::bf16) {
    for (int i = 0; i < 8; ++i)
      out[i] = quant::bf16_to_f32(load_16(load, 64 * (col / 2 + i / 2) + 4 * row + 2 * (i % 2)));
  } else if constexpr (Format == X16::fp8) {
    const int64_t unit = col / 128 * fp8_unit;
    const float s = std::bit_cast<float>(load(unit + 4 * row));
    for (int i = 0; i < 8; ++i) {
      const uint32_t word = load(unit + 64 + 16 * (col % 128 + i) + row / 4 * 4);
      out[i] = quant::bf16_to_f32(e4m3_bits(word >> 8 * (row % 4) & 255)) * 0x1p120f * s;
    }
  } else if constexpr (Format == X16::int8) {
    const float s = std::bit_cast<float>(load(4 * row));
    uint32_t codes[8]{};
    read_codes<8, 32>([&](int64_t offset) { return load(64 + offset); }, row, col, codes);
    for (int i = 0; i < 8; ++i) out[i] = s * static_cast<float>(static_cast<int>(codes[i]) - 128);
  } else if constexpr (codebook_words(Format) != 0) {
    decode_codebook_unit<Format, Codebooks>(load, row, col, out);
  } else if constexpr (Format == X16::iq4_xs) {
    decode_iq4_xs(load, row, col, out);
  } else if constexpr (Format == X16::mxfp4) {
    decode_mxfp4(load, row, col, out);
  } else if constexpr (Format == X16::q4_1 || Format == X16::q5_1) {
    decode_with_min<Format>(load, row, col, out);
  } else if constexpr (Format == X16::q2_k) {
    decode_q2_k(load, row, col, out);
  } else if constexpr (in_pairs(Format)) {
    decode_pairs<Format>(load, row, col, out);
  } else {
    decode_k<Format>(load, row, col, out);
  }
}

/// Calls use.template operator()<Format>() for the format given at run time.
template <class Use>
constexpr void with_x16(X16 format, const Use& use) {
  switch (format) {
    case X16::f32:
      return use.template operator()<X16::f32>();
    case X16::f16:
      return use.template operator()<X16::f16>();
    case X16::bf16:
      return use.template operator()<X16::bf16>();
    case X16::fp8:
      return use.template operator()<X16::fp8>();
    case X16::q4_0:
      return use.template operator()<X16::q4_0>();
    case X16::q4_1:
      return use.template operator()<X16::q4_1>();
    case X16::q5_0:
      return use.template operator()<X16::q5_0>();
    case X16::q5_1:
      return use.template operator()<X16::q5_1>();
    case X16::q8_0:
      return use.template operator()<X16::q8_0>();
    case X16::q2_k:
      return use.template operator()<X16::q2_k>();
    case X16::q3_k:
      return use.template operator()<X16::q3_k>();
    case X16::q4_k:
      return use.template operator()<X16::q4_k>();
    case X16::q5_k:
      return use.template operator()<X16::q5_k>();
    case X16::q6_k:
      return use.template operator()<X16::q6_k>();
    case X16::iq4_nl:
      return use.template operator()<X16::iq4_nl>();
    case X16::iq4_xs:
      return use.template operator()<X16::iq4_xs>();
    case X16::mxfp4:
      return use.template operator()<X16::mxfp4>();
    case X16::iq3_s:
      return use.template operator()<X16::iq3_s>();
    case X16::iq3_xxs:
      return use.template operator()<X16::iq3_xxs>();
    case X16::iq2_s:
      return use.template operator()<X16::iq2_s>();
    case X16::iq2_xs:
      return use.template operator()<X16::iq2_xs>();
    case X16::iq2_xxs:
      return use.template operator()<X16::iq2_xxs>();
    case X16::iq1_s:
      return use.template operator()<X16::iq1_s>();
    case X16::iq1_m:
      return use.template operator()<X16::iq1_m>();
    case X16::int8:
      return use.template operator()<X16::int8>();
    case X16::int8_32:
      return use.template operator()<X16::int8_32>();
    case X16::int8_64:
      return use.template operator()<X16::int8_64>();
    case X16::int8_128:
      return use.template operator()<X16::int8_128>();
    case X16::int4_32:
      return use.template operator()<X16::int4_32>();
    case X16::int4_64:
      return use.template operator()<X16::int4_64>();
    case X16::int4_128:
      return use.template operator()<X16::int4_128>();
  }
}

}  // namespace ktx::ops::cuda
