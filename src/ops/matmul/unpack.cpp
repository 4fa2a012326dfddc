// A packed matrix back to numbers: Layout::x16 to the format's own blocks, which its codec decodes.
#include "ops/matmul/unpack.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "core/quant/blocks.hpp"
#include "ops/matmul/layout_x16.hpp"
#include "ops/matmul/node_rows.hpp"

namespace ktx::ops {
namespace {

/// Some columns of a row: the row's lane in a unit of its group (layout_x16.hpp).
struct Source {
  const uint8_t* group;
  int64_t lane;
  int64_t unit, columns;  // the unit's number; columns wanted of it
};

// ---- what lies in lanes ----

/// The lane's words of consecutive vectors of 64 bytes.
void take_words(const Source& s, const uint8_t* vectors, int64_t words, uint8_t* to) noexcept {
  for (int64_t k = 0; k < words; ++k) std::memcpy(to + 4 * k, vectors + 64 * k + 4 * s.lane, 4);
}

/// The lane's 16-bit number.
void take_half(const Source& s, const uint8_t* lanes, void* to) noexcept {
  std::memcpy(to, lanes + 2 * s.lane, 2);
}

/// Codes of 8 bits, which are unsigned, as signed ones.
template <int Cols>
void take_signed(const Source& s, const uint8_t* body, int8_t* to) noexcept {
  uint8_t codes[Cols];
  take_words(s, body, Cols / 4, codes);
  for (int i = 0; i < Cols; ++i) to[i] = static_cast<int8_t>(codes[i] ^ 0x80);
}

/// Bits [From, From + Count) of codes of one byte.
template <int From, int Count, int Cols>
void take_bits(const Source& s, const uint8_t* body, uint8_t* to) noexcept {
  constexpr int codes_a_byte = 8 / Count;
  uint8_t bytes[Cols / codes_a_byte];
  take_words(s, body, Cols / codes_a_byte / 4, bytes);
  for (int i = 0; i < Cols; ++i) {
    const int shift = i / 4 % codes_a_byte * Count;
    const int bits = bytes[i / 4 / codes_a_byte * 4 + i % 4] >> shift & ((1 << Count) - 1);
    to[i] = static_cast<uint8_t>((From == 0 ? 0 : to[i]) | bits << From);
  }
}

/// Codes of 2 to 6 bits, one a byte.
template <int Bits, int Cols>
void take_codes(const Source& s, const uint8_t* body, uint8_t* to) noexcept {
  constexpr int low = Bits < 4 ? 2 : 4;
  take_bits<0, low, Cols>(s, body, to);
  if constexpr (Bits > low) take_bits<low, Bits - low, Cols>(s, body + Cols * 2 * low, to);
}

/// Low nibbles, then high ones, in groups of 2 * half columns.
void put_nibbles(const uint8_t* codes, int64_t columns, int64_t half, uint8_t* to) noexcept {
  for (int64_t g = 0; g < columns; g += 2 * half)
    for (int64_t i = 0; i < half; ++i)
      to[g / 2 + i] = static_cast<uint8_t>((codes[g + i] & 15) | (codes[g + half + i] & 15) << 4);
}

// ---- blocks of the formats ----

/// Unit `unit` where a unit is 16 blocks.
template <class Block>
const uint8_t* unit_of(const Source& s) noexcept {
  return s.group + s.unit * row_group * static_cast<int64_t>(sizeof(Block));
}

/// The body of a unit that comes in pairs; takes its 16-bit scale.
template <class Block>
const uint8_t* body_in_pair(const Source& s, uint16_t& scale) noexcept {
  constexpr int64_t body_bytes = row_group * static_cast<int64_t>(sizeof(Block) - 2);
  const uint8_t* pair = s.group + s.unit / 2 * (64 + 2 * body_bytes);
  take_half(s, pair + s.unit % 2 * 32, &scale);
  return pair + 64 + s.unit % 2 * body_bytes;
}

/// What is wanted of a unit, in the format's own layout.
using Take = void (*)(const Source& s, std::byte* block) noexcept;

constexpr int64_t piece = 64;  // columns at a time of a format without blocks

void f32_piece(const Source& s, std::byte* to) noexcept {
  take_words(s, s.group + s.unit * piece * 64, s.columns, reinterpret_cast<uint8_t*>(to));
}

void bf16_piece(const Source& s, std::byte* to) noexcept {
  take_words(s, s.group + s.unit * piece * 32, s.columns / 2, reinterpret_cast<uint8_t*>(to));
}

void f16_piece(const Source& s, std::byte* to) noexcept {
  for (int64_t c = 0; c < s.columns; ++c)
    take_half(s, s.group + (s.unit * piece + c) * 32, to + 2 * c);
}

/// A short row: its scale, and some of its codes.
void int8_piece(const Source& s, std::byte* to) noexcept {
  std::memcpy(to, s.group + 4 * s.lane, 4);
  take_signed<32>(s, s.group + 64 + s.unit * 512, reinterpret_cast<int8_t*>(to + 4));
}

void fp8_block(const Source& s, std::byte* to) noexcept {
  quant::BlockFp8 block;
  const uint8_t* unit = unit_of<quant::BlockFp8>(s);
  std::memcpy(&block.scale, unit + 4 * s.lane, 4);
  for (int c = 0; c < 128; ++c) block.q[c] = unit[64 + c * 16 + s.lane];
  std::memcpy(to, &block, sizeof block);
}

template <class Block>
void eight_bit_block(const Source& s, std::byte* to) noexcept {
  Block block;
  if constexpr (requires { block.d; })
    take_signed<32>(s, body_in_pair<Block>(s, block.d), block.qs);
  else
    take_signed<Block::weights>(s, body_in_pair<Block>(s, block.scale), block.q);
  std::memcpy(to, &block, sizeof block);
}

template <class Block>
void four_bit_block(const Source& s, std::byte* to) noexcept {
  Block block;
  if constexpr (requires { block.d; }) {
    uint8_t codes[32];
    take_codes<4, 32>(s, body_in_pair<Block>(s, block.d), codes);
    put_nibbles(codes, 32, 16, block.qs);
  } else {
    constexpr int cols = Block::weights;
    uint8_t codes[cols];
    take_codes<4, cols>(s, body_in_pair<Block>(s, block.scale), codes);
    put_nibbles(codes, cols, cols / 2, block.q);
  }
  std::memcpy(to, &block, sizeof block);
}

/// The fifth bits of 32 columns.
void put_fifth_bits(const uint8_t* codes, uint8_t (&high)[4]) noexcept {
  for (int i = 0; i < 32; ++i)
    high[i / 8] = static_cast<uint8_t>(high[i / 8] | codes[i] >> 4 << i % 8);
}

void q5_0_block(const Source& s, std::byte* to) noexcept {
  quant::BlockQ5_0 block{};
  uint8_t codes[32];
  take_codes<5, 32>(s, body_in_pair<quant::BlockQ5_0>(s, block.d), codes);
  put_nibbles(codes, 32, 16, block.qs);
  put_fifth_bits(codes, block.qh);
  std::memcpy(to, &block, sizeof block);
}

// q4_1, q5_1.
template <class Block, int Bits>
void min_block(const Source& s, std::byte* to) noexcept {
  Block block{};
  const uint8_t* unit = unit_of<Block>(s);
  take_half(s, unit, &block.d);
  take_half(s, unit + 32, &block.m);
  uint8_t codes[32];
  take_codes<Bits, 32>(s, unit + 64, codes);
  put_nibbles(codes, 32, 16, block.qs);
  if constexpr (Bits == 5) put_fifth_bits(codes, block.qh);
  std::memcpy(to, &block, sizeof block);
}

/// The lowest two bits of 256 codes: 32 bytes hold 128, a pair for each 32.
void put_pairs(const uint8_t* codes, uint8_t (&to)[64]) noexcept {
  for (int i = 0; i < 256; ++i) {
    uint8_t& byte = to[i / 128 * 32 + i % 32];
    byte = static_cast<uint8_t>(byte | (codes[i] & 3) << i / 32 % 4 * 2);
  }
}

void q2_k_block(const Source& s, std::byte* to) noexcept {
  quant::BlockQ2K block{};
  const uint8_t* unit = unit_of<quant::BlockQ2K>(s);
  take_half(s, unit, &block.d);
  take_half(s, unit + 32, &block.dmin);
  uint8_t codes[256];
  for (int part = 0; part < 4; ++part) {
    const uint8_t* scales = unit + 64 + part * 320;
    take_words(s, scales, 1, block.scales + 4 * part);
    take_codes<2, 64>(s, scales + 64, codes + 64 * part);
  }
  put_pairs(codes, block.qs);
  std::memcpy(to, &block, sizeof block);
}

void q3_k_block(const Source& s, std::byte* to) noexcept {
  quant::BlockQ3K block{};
  const uint8_t* body = body_in_pair<quant::BlockQ3K>(s, block.d);
  take_words(s, body, 3, block.scales);
  uint8_t codes[256];
  for (int part = 0; part < 4; ++part)
    take_codes<3, 64>(s, body + 192 + part * 384, codes + 64 * part);
  put_pairs(codes, block.qs);
  for (int i = 0; i < 256; ++i)
    block.hmask[i % 32] = static_cast<uint8_t>(block.hmask[i % 32] | codes[i] >> 2 << i / 32);
  std::memcpy(to, &block, sizeof block);
}

template <class Block, int Bits>
void k_block(const Source& s, std::byte* to) noexcept {
  Block block{};
  const uint8_t* unit = unit_of<Block>(s);
  take_half(s, unit, &block.d);
  take_half(s, unit + 32, &block.dmin);
  take_words(s, unit + 64, 3, block.scales);
  uint8_t codes[256];
  take_codes<Bits, 256>(s, unit + 256, codes);
  put_nibbles(codes, 256, 32, block.qs);
  if constexpr (Bits == 5)
    for (int i = 0; i < 256; ++i)
      block.qh[i % 32] = static_cast<uint8_t>(block.qh[i % 32] | codes[i] >> 4 << i / 32);
  std::memcpy(to, &block, sizeof block);
}

// A half of 128 columns: quarter q has nibble q / 2 of 32 low bytes and pair q of 32 high ones.
void q6_k_block(const Source& s, std::byte* to) noexcept {
  quant::BlockQ6K block{};
  const uint8_t* body = body_in_pair<quant::BlockQ6K>(s, block.d);
  take_words(s, body, 4, reinterpret_cast<uint8_t*>(block.scales));
  uint8_t codes[256];
  take_codes<6, 256>(s, body + 256, codes);
  put_nibbles(codes, 256, 64, block.ql);
  for (int i = 0; i < 256; ++i) {
    uint8_t& high = block.qh[i / 128 * 32 + i % 32];
    high = static_cast<uint8_t>(high | codes[i] >> 4 << i / 32 % 4 * 2);
  }
  std::memcpy(to, &block, sizeof block);
}

void iq4_xs_block(const Source& s, std::byte* to) noexcept {
  quant::BlockIQ4XS block;
  const uint8_t* unit = unit_of<quant::BlockIQ4XS>(s);
  take_half(s, unit, &block.d);
  take_half(s, unit + 32, &block.scales_h);
  take_words(s, unit + 64, 1, block.scales_l);
  uint8_t codes[256];
  take_codes<4, 256>(s, unit + 128, codes);
  put_nibbles(codes, 256, 16, block.qs);
  std::memcpy(to, &block, sizeof block);
}

void mxfp4_block(const Source& s, std::byte* to) noexcept {
  quant::BlockMxfp4 block;
  const uint8_t* four = s.group + s.unit / 4 * (64 + 4 * 256);
  block.e = four[s.unit % 4 * 16 + s.lane];
  uint8_t codes[32];
  take_codes<4, 32>(s, four + 64 + s.unit % 4 * 256, codes);
  put_nibbles(codes, 32, 16, block.qs);
  std::memcpy(to, &block, sizeof block);
}

/// Blocks whose words behind the scale lie as they are.
template <class Block>
void word_block(const Source& s, std::byte* to) noexcept {
  constexpr int64_t words = (sizeof(Block) - 2) / 4;
  uint16_t d;
  const uint8_t* body = body_in_pair<Block>(s, d);
  std::memcpy(to, &d, 2);
  take_words(s, body, words, reinterpret_cast<uint8_t*>(to + 2));
}

void iq1_m_block(const Source& s, std::byte* to) noexcept {
  take_words(s, unit_of<quant::BlockIQ1M>(s), sizeof(quant::BlockIQ1M) / 4,
             reinterpret_cast<uint8_t*>(to));
}

struct Unpacker {
  X16 x16;
  int64_t columns;  // of a block, or at a time
  Take take;
};

// In the order of X16.
constexpr Unpacker table[] = {
    {X16::f32, piece, f32_piece},
    {X16::f16, piece, f16_piece},
    {X16::bf16, piece, bf16_piece},
    {X16::fp8, 128, fp8_block},
    {X16::q4_0, 32, four_bit_block<quant::BlockQ4_0>},
    {X16::q4_1, 32, min_block<quant::BlockQ4_1, 4>},
    {X16::q5_0, 32, q5_0_block},
    {X16::q5_1, 32, min_block<quant::BlockQ5_1, 5>},
    {X16::q8_0, 32, eight_bit_block<quant::BlockQ8_0>},
    {X16::q2_k, 256, q2_k_block},
    {X16::q3_k, 256, q3_k_block},
    {X16::q4_k, 256, k_block<quant::BlockQ4K, 4>},
    {X16::q5_k, 256, k_block<quant::BlockQ5K, 5>},
    {X16::q6_k, 256, q6_k_block},
    {X16::iq4_nl, 32, four_bit_block<quant::BlockIQ4NL>},
    {X16::iq4_xs, 256, iq4_xs_block},
    {X16::mxfp4, 32, mxfp4_block},
    {X16::iq3_s, 256, word_block<quant::BlockIQ3S>},
    {X16::iq3_xxs, 256, word_block<quant::BlockIQ3XXS>},
    {X16::iq2_s, 256, word_block<quant::BlockIQ2S>},
    {X16::iq2_xs, 256, word_block<quant::BlockIQ2XS>},
    {X16::iq2_xxs, 256, word_block<quant::BlockIQ2XXS>},
    {X16::iq1_s, 256, word_block<quant::BlockIQ1S>},
    {X16::iq1_m, 256, iq1_m_block},
    {X16::int8, 32, int8_piece},
    {X16::int8_32, 32, eight_bit_block<quant::BlockInt8<32>>},
    {X16::int8_64, 64, eight_bit_block<quant::BlockInt8<64>>},
    {X16::int8_128, 128, eight_bit_block<quant::BlockInt8<128>>},
    {X16::int4_32, 32, four_bit_block<quant::BlockInt4<32>>},
    {X16::int4_64, 64, four_bit_block<quant::BlockInt4<64>>},
    {X16::int4_128, 128, four_bit_block<quant::BlockInt4<128>>},
};
static_assert(std::size(table) == x16_count);
static_assert(std::ranges::is_sorted(table, {}, &Unpacker::x16));

constexpr int64_t most_piece_bytes = 256;  // of a block, or of a piece of f32
static_assert(4 * piece <= most_piece_bytes && sizeof(quant::BlockQ6K) <= most_piece_bytes);

void unpack_x16(const PackedMatrix& matrix, const std::byte* data, int64_t row,
                float* out) noexcept {
  const X16 x16 = *x16_format(matrix.format);
  const Unpacker& unpacker = table[static_cast<size_t>(x16)];
  const auto* group =
      reinterpret_cast<const uint8_t*>(data) + row / row_group * x16_group_bytes(x16, matrix.cols);
  const quant::FormatInfo& info = quant::info(matrix.format);
  std::byte block[most_piece_bytes];
  for (int64_t begin = 0; begin < matrix.cols; begin += unpacker.columns) {
    const int64_t columns = std::min(unpacker.columns, matrix.cols - begin);
    unpacker.take({group, row % row_group, begin / unpacker.columns, columns}, block);
    info.decode(block, out + begin, columns);
  }
}

}  // namespace

void unpack_rows(const UnpackArgs& args) noexcept {
  const PackedMatrix& matrix = *args.matrix;
  const NodeRows held = rows_near(matrix, args.row_begin, args.node);
  const bool in_rows = matrix.decode->layout(matrix.format) == Layout::rows;
  const int64_t row_bytes = quant::row_bytes(matrix.format, matrix.cols);
  for (int64_t r = args.row_begin; r < args.row_end; ++r) {
    float* out = args.out + (r - args.row_begin) * matrix.cols;
    const int64_t row = r - held.row_begin;
    if (in_rows)
      quant::info(matrix.format).decode(held.data + row * row_bytes, out, matrix.cols);
    else
      unpack_x16(matrix, held.data, row, out);
  }
}

}  // namespace ktx::ops
