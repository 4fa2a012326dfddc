// The packed blocks of every blocked format, as plain structs in the byte order of the file.
//
// A row is a sequence of these without gaps. Field names follow the published ggml layouts: d is
// the f16 scale of the block, qs the low bits of the codes, qh the high ones. Rows may start at any
// address: copy a block out (memcpy) rather than casting a pointer that may be unaligned.
#pragma once

#include <bit>
#include <cstdint>

namespace ktx::quant {

static_assert(std::endian::native == std::endian::little,
              "blocks are read as they lie in the file");

inline constexpr int super_block = 256;  // weights in a block of the K and IQ formats

/// e4m3 codes (see fp8.hpp) of 128 columns; weight = scale * code.
struct BlockFp8 {
  float scale;
  uint8_t q[128];
};

/// weight = scale * q; scale is bf16, q in -127..127.
template <int G>
struct BlockInt8 {
  static constexpr int weights = G;
  uint16_t scale;
  int8_t q[G];
};

/// weight = scale * (code - 8); scale is bf16 and may be negative. Byte i holds the code of weight
/// i in its low nibble and that of weight i + G/2 in its high nibble.
template <int G>
struct BlockInt4 {
  static constexpr int weights = G;
  uint16_t scale;
  uint8_t q[G / 2];
};

/// weight = d * (code - 8); byte i: weight i low, weight i + 16 high (so in all of the 32-blocks).
struct BlockQ4_0 {
  uint16_t d;
  uint8_t qs[16];
};

/// weight = d * code + m.
struct BlockQ4_1 {
  uint16_t d, m;
  uint8_t qs[16];
};

/// weight = d * (code - 16); bit i of qh (little endian) is the fifth bit of weight i.
struct BlockQ5_0 {
  uint16_t d;
  uint8_t qh[4];
  uint8_t qs[16];
};

/// weight = d * code + m.
struct BlockQ5_1 {
  uint16_t d, m;
  uint8_t qh[4];
  uint8_t qs[16];
};

/// weight = d * q.
struct BlockQ8_0 {
  uint16_t d;
  int8_t qs[32];
};

/// 16 sub-blocks of 16: weight = d * (scale & 15) * code - dmin * (scale >> 4).
struct BlockQ2K {
  uint8_t scales[16];
  uint8_t qs[64];
  uint16_t d, dmin;
};

/// 16 sub-blocks of 16: weight = d * (scale - 32) * (code - 4); a bit of hmask adds 4 to its code.
struct BlockQ3K {
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  uint16_t d;
};

/// 8 sub-blocks of 32: weight = d * scale * code - dmin * min; 6-bit scales and mins, see
/// k_scale_min.
struct BlockQ4K {
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};

/// As BlockQ4K with a fifth bit: bit s of qh[i] belongs to weight i of sub-block s.
struct BlockQ5K {
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};

/// 16 sub-blocks of 16: weight = d * scale * (code - 32).
struct BlockQ6K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;
};

/// weight = d * iq4_values[code].
struct BlockIQ4NL {
  uint16_t d;
  uint8_t qs[16];
};

/// 8 sub-blocks of 32: weight = d * (scale - 32) * iq4_values[code].
struct BlockIQ4XS {
  uint16_t d;
  uint16_t scales_h;
  uint8_t scales_l[4];
  uint8_t qs[128];
};

/// 9-bit indices into a grid of 4 weights, explicit signs, a 4-bit scale every 64 weights.
struct BlockIQ3S {
  uint16_t d;
  uint8_t qs[64];
  uint8_t qh[8];
  uint8_t signs[32];
  uint8_t scales[4];
};

/// 8-bit indices into a grid of 4 weights; then 8 little-endian words: 4 x 7 sign bits, 4-bit
/// scale.
struct BlockIQ3XXS {
  uint16_t d;
  uint8_t qs[64];
  uint8_t signs_scales[32];
};

/// 10-bit indices into a grid of 8 weights, explicit signs.
struct BlockIQ2S {
  uint16_t d;
  uint8_t qs[32];
  uint8_t signs[32];
  uint8_t qh[8];
  uint8_t scales[8];
};

/// qs: 9 bits of grid index, 7 bits of signs.
struct BlockIQ2XS {
  uint16_t d;
  uint16_t qs[32];
  uint8_t scales[8];
};

/// 8 groups of 32 weights: 4 grid indices of a byte, then a little-endian word as in BlockIQ3XXS.
struct BlockIQ2XXS {
  uint16_t d;
  uint8_t qs[64];
};

/// qh of a group of 32: 4 x 3 high bits of the grid indices, 3-bit scale, sign of the offset.
struct BlockIQ1S {
  uint16_t d;
  uint8_t qs[32];
  uint16_t qh[8];
};

/// qh: a nibble for 8 weights: 3 high index bits, sign of the offset. scales: 12 bits of sub-scales
/// in each word and a quarter of the block's f16 scale in its top nibble.
struct BlockIQ1M {
  uint8_t qs[32];
  uint8_t qh[16];
  uint16_t scales[4];
};

/// weight = mxfp4_scale(e) * mxfp4_values[code].
struct BlockMxfp4 {
  uint8_t e;
  uint8_t qs[16];
};

static_assert(sizeof(BlockFp8) == 132);
static_assert(sizeof(BlockInt8<32>) == 34 && sizeof(BlockInt8<64>) == 66);
static_assert(sizeof(BlockInt8<128>) == 130);
static_assert(sizeof(BlockInt4<32>) == 18 && sizeof(BlockInt4<64>) == 34);
static_assert(sizeof(BlockInt4<128>) == 66);
static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20);
static_assert(sizeof(BlockQ5_0) == 22 && sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34);
static_assert(sizeof(BlockQ2K) == 84 && sizeof(BlockQ3K) == 110 && sizeof(BlockQ4K) == 144);
static_assert(sizeof(BlockQ5K) == 176 && sizeof(BlockQ6K) == 210);
static_assert(sizeof(BlockIQ4NL) == 18 && sizeof(BlockIQ4XS) == 136);
static_assert(sizeof(BlockIQ3S) == 110 && sizeof(BlockIQ3XXS) == 98);
static_assert(sizeof(BlockIQ2S) == 82 && sizeof(BlockIQ2XS) == 74 && sizeof(BlockIQ2XXS) == 66);
static_assert(sizeof(BlockIQ1S) == 50 && sizeof(BlockIQ1M) == 56);
static_assert(sizeof(BlockMxfp4) == 17);

/// The 16 levels of iq4_nl and iq4_xs.
inline constexpr int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

/// The 16 values of e2m1, doubled so that they are whole.
inline constexpr int8_t mxfp4_values[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                            0, -1, -2, -3, -4, -6, -8, -12};

/// Half of what an e8m0 code stands for, which is 2^(code - 127), or NaN for 255.
constexpr float mxfp4_scale(uint8_t code) noexcept {
  if (code == 255) return std::bit_cast<float>(0x7fc00000u);
  return std::bit_cast<float>(code < 2 ? 0x00200000u << code : (code - 1u) << 23);
}

}  // namespace ktx::quant
