// Sizes of Layout::x16 and the packing of every format into it.
#include "ops/matmul/layout_x16.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/quant/blocks.hpp"

namespace ktx::ops {
namespace {

using quant::Format;

// Rows of one group in the format's own layout; fewer than 16 at the end of a matrix.
struct Rows {
  const std::byte* data;
  int64_t row_bytes;
  int count;
  int64_t cols;
};

uint32_t load32(const void* p) noexcept {
  uint32_t word;
  std::memcpy(&word, p, sizeof(word));
  return word;
}

void store16(uint8_t* p, uint16_t value) noexcept {
  std::memcpy(p, &value, sizeof(value));
}
void store32(uint8_t* p, uint32_t value) noexcept {
  std::memcpy(p, &value, sizeof(value));
}

// Readers: the unsigned codes of a block's columns in order, one a byte; eight bytes at a time.

using Codes = uint8_t[256];

constexpr uint64_t bytes_of(uint8_t value) {
  return 0x0101010101010101u * value;
}

uint64_t load64(const void* p) noexcept {
  uint64_t word;
  std::memcpy(&word, p, sizeof(word));
  return word;
}

void store64(uint8_t* p, uint64_t value) noexcept {
  std::memcpy(p, &value, sizeof(value));
}

/// out[i] = the Bits bits at `shift` of in[i], for n bytes (a multiple of 8); or'ed to out at bit
/// To.
template <int Bits, int To = 0>
void take_bits(const uint8_t* in, int shift, int n, uint8_t* out) noexcept {
  for (int i = 0; i < n; i += 8) {
    const uint64_t bits = ((load64(in + i) >> shift) & bytes_of((1 << Bits) - 1)) << To;
    store64(out + i, To == 0 ? bits : bits | load64(out + i));
  }
}

/// Nibbles in groups of 2 * Half columns: low nibbles, then high ones, of Half bytes.
template <int Half, size_t Bytes>
void take_nibbles(const uint8_t (&q)[Bytes], Codes& out) noexcept {
  for (int i = 0; i < static_cast<int>(Bytes); i += Half) {
    take_bits<4>(q + i, 0, Half, out + 2 * i);
    take_bits<4>(q + i, 4, Half, out + 2 * i + Half);
  }
}

template <size_t Bytes>
void take_bytes(const int8_t (&q)[Bytes], Codes& out) noexcept {
  for (size_t i = 0; i < Bytes; i += 8) store64(out + i, load64(q + i) ^ bytes_of(0x80));
}

struct EightBit {
  static constexpr int bits = 8;
  static void read(const quant::BlockQ8_0& b, Codes& out) noexcept { take_bytes(b.qs, out); }
  template <int G>
  static void read(const quant::BlockInt8<G>& b, Codes& out) noexcept {
    take_bytes(b.q, out);
  }
};

struct FourBit {
  static constexpr int bits = 4;
  static void read(const quant::BlockQ4_0& b, Codes& out) noexcept { take_nibbles<16>(b.qs, out); }
  static void read(const quant::BlockIQ4NL& b, Codes& out) noexcept { take_nibbles<16>(b.qs, out); }
  static void read(const quant::BlockIQ4XS& b, Codes& out) noexcept { take_nibbles<16>(b.qs, out); }
  static void read(const quant::BlockQ4K& b, Codes& out) noexcept { take_nibbles<32>(b.qs, out); }
  template <int G>
  static void read(const quant::BlockInt4<G>& b, Codes& out) noexcept {
    take_nibbles<G / 2>(b.q, out);
  }
};

struct FiveBit {
  static constexpr int bits = 5;
  static void read(const quant::BlockQ5K& b, Codes& out) noexcept {
    take_nibbles<32>(b.qs, out);
    for (int sub = 0; sub < 8; ++sub) take_bits<1, 4>(b.qh, sub, 32, out + sub * 32);
  }
};

// A half of 128 columns: quarter q takes nibble q / 2 of 32 low bytes and pair q of 32 high ones.
struct SixBit {
  static constexpr int bits = 6;
  static void read(const quant::BlockQ6K& b, Codes& out) noexcept {
    for (int sub = 0; sub < 8; ++sub) {
      const int half = sub / 4, quarter = sub % 4;
      take_bits<4>(b.ql + half * 64 + quarter % 2 * 32, quarter / 2 * 4, 32, out + sub * 32);
      take_bits<2, 4>(b.qh + half * 32, quarter * 2, 32, out + sub * 32);
    }
  }
};

// Writes one lane of the codes of `cols` columns at body, as layout_x16.hpp describes.
template <int Bits>
void put_codes(const uint8_t* codes, int cols, uint8_t* body) noexcept {
  if constexpr (Bits == 8) {
    for (int c = 0; c < cols; c += 4) store32(body + c * 16, load32(codes + c));
    return;
  }
  constexpr uint32_t low = 0x0f0f0f0fu;
  for (int c = 0; c < cols; c += 8)
    store32(body + c * 8, (load32(codes + c) & low) | (load32(codes + c + 4) & low) << 4);
  uint8_t* high = body + cols * 8;
  if constexpr (Bits == 5) {
    for (int c = 0; c < cols; c += 32) {
      uint32_t word = 0;
      for (int k = 0; k < 8; ++k) word |= (load32(codes + c + 4 * k) >> 4 & 0x01010101u) << k;
      store32(high + c * 2, word);
    }
  }
  if constexpr (Bits == 6) {
    for (int c = 0; c < cols; c += 16) {
      uint32_t word = 0;
      for (int k = 0; k < 4; ++k) word |= (load32(codes + c + 4 * k) >> 4 & 0x03030303u) << 2 * k;
      store32(high + c * 4, word);
    }
  }
}

template <class Reader, int Cols, class Block>
void put_block(const Block& b, int lane, uint8_t* body) noexcept {
  alignas(64) Codes codes;
  Reader::read(b, codes);
  put_codes<Reader::bits>(codes, Cols, body + lane * 4);
}

template <class Block>
Block block_at(const Rows& rows, int lane, int64_t index) noexcept {
  Block b;
  std::memcpy(&b, rows.data + lane * rows.row_bytes + index * static_cast<int64_t>(sizeof(Block)),
              sizeof(b));
  return b;
}

template <class T, int Columns>
void pack_floats(const Rows& rows, uint8_t* group) noexcept {
  constexpr int64_t piece = sizeof(T) * Columns;
  for (int lane = 0; lane < rows.count; ++lane) {
    const std::byte* row = rows.data + lane * rows.row_bytes;
    for (int64_t c = 0; c < rows.cols / Columns; ++c)
      std::memcpy(group + (c * row_group + lane) * piece, row + c * piece, piece);
  }
}

void pack_fp8(const Rows& rows, uint8_t* group) noexcept {
  for (int64_t u = 0; u < rows.cols / 128; ++u) {
    uint8_t* unit = group + u * (64 + 128 * 16);
    for (int lane = 0; lane < rows.count; ++lane) {
      const auto b = block_at<quant::BlockFp8>(rows, lane, u);
      bool nan = false;
      for (int c = 0; c < 128; ++c) {
        unit[64 + c * 16 + lane] = b.q[c];
        nan |= (b.q[c] & 0x7f) == 0x7f;
      }
      // Kernels read the codes of NaN as 480; through the scale the row's products still are NaN.
      const float scale = nan ? std::numeric_limits<float>::quiet_NaN() : b.scale;
      std::memcpy(unit + lane * 4, &scale, 4);
    }
  }
}

void pack_int8(const Rows& rows, uint8_t* group) noexcept {
  for (int lane = 0; lane < rows.count; ++lane) {
    const std::byte* row = rows.data + lane * rows.row_bytes;
    store32(group + lane * 4, load32(row));
    uint8_t* out = group + 64 + lane * 4;
    for (int64_t c = 0; c < rows.cols; c += 4)
      store32(out + c * 16, load32(row + 4 + c) ^ 0x80808080u);
  }
}

// q4_k, q5_k.
template <class Block, class Reader>
void pack_k(const Rows& rows, uint8_t* group) noexcept {
  for (int64_t u = 0; u < rows.cols / 256; ++u) {
    uint8_t* unit = group + u * row_group * static_cast<int64_t>(sizeof(Block));
    for (int lane = 0; lane < rows.count; ++lane) {
      const auto b = block_at<Block>(rows, lane, u);
      store16(unit + lane * 2, b.d);
      store16(unit + 32 + lane * 2, b.dmin);
      for (int i = 0; i < 3; ++i) store32(unit + 64 + i * 64 + lane * 4, load32(b.scales + i * 4));
      put_block<Reader, 256>(b, lane, unit + 256);
    }
  }
}

void pack_iq4_xs(const Rows& rows, uint8_t* group) noexcept {
  using Block = quant::BlockIQ4XS;
  for (int64_t u = 0; u < rows.cols / 256; ++u) {
    uint8_t* unit = group + u * row_group * static_cast<int64_t>(sizeof(Block));
    for (int lane = 0; lane < rows.count; ++lane) {
      const auto b = block_at<Block>(rows, lane, u);
      store16(unit + lane * 2, b.d);
      store16(unit + 32 + lane * 2, b.scales_h);
      store32(unit + 64 + lane * 4, load32(b.scales_l));
      put_block<FourBit, 256>(b, lane, unit + 128);
    }
  }
}

// Units with one 16-bit scale, in pairs.
template <class Block, class Reader, int Cols>
void pack_pairs(const Rows& rows, uint8_t* group) noexcept {
  constexpr int64_t body_bytes = row_group * static_cast<int64_t>(sizeof(Block) - 2);
  for (int64_t u = 0; u < rows.cols / Cols; ++u) {
    uint8_t* pair = group + u / 2 * (64 + 2 * body_bytes);
    uint8_t* body = pair + 64 + u % 2 * body_bytes;
    for (int lane = 0; lane < rows.count; ++lane) {
      const auto b = block_at<Block>(rows, lane, u);
      if constexpr (requires { b.d; })
        store16(pair + u % 2 * 32 + lane * 2, b.d);
      else
        store16(pair + u % 2 * 32 + lane * 2, b.scale);
      uint8_t* codes = body;
      if constexpr (requires { b.scales; }) {
        for (int i = 0; i < 4; ++i) store32(body + i * 64 + lane * 4, load32(b.scales + i * 4));
        codes += 256;
      }
      put_block<Reader, Cols>(b, lane, codes);
    }
  }
}

constexpr int64_t pairs_bytes(int64_t units, int64_t body) {
  return units / 2 * (64 + 2 * body) + units % 2 * (64 + body);
}

struct X16Info {
  X16 x16;
  Format format;
  int columns;         // of a unit
  int64_t unit_bytes;  // of 16 rows; of a unit's body where units come in pairs
  bool pairs;
  int64_t head_bytes;  // before all units
  void (*pack)(const Rows& rows, uint8_t* group) noexcept;
};

template <class Block, class Reader, int Cols>
constexpr X16Info pair_info(X16 x16, Format format) {
  return {x16,
          format,
          Cols,
          16 * (static_cast<int64_t>(sizeof(Block)) - 2),
          true,
          0,
          pack_pairs<Block, Reader, Cols>};
}

// In the order of X16.
constexpr X16Info table[] = {
    {X16::f32, Format::f32, 2, 128, false, 0, pack_floats<float, 1>},
    {X16::f16, Format::f16, 2, 64, false, 0, pack_floats<uint16_t, 1>},
    {X16::bf16, Format::bf16, 2, 64, false, 0, pack_floats<uint16_t, 2>},
    {X16::fp8, Format::fp8, 128, 64 + 2048, false, 0, pack_fp8},
    pair_info<quant::BlockQ4_0, FourBit, 32>(X16::q4_0, Format::q4_0),
    pair_info<quant::BlockQ8_0, EightBit, 32>(X16::q8_0, Format::q8_0),
    {X16::q4_k, Format::q4_k, 256, 2304, false, 0, pack_k<quant::BlockQ4K, FourBit>},
    {X16::q5_k, Format::q5_k, 256, 2816, false, 0, pack_k<quant::BlockQ5K, FiveBit>},
    pair_info<quant::BlockQ6K, SixBit, 256>(X16::q6_k, Format::q6_k),
    pair_info<quant::BlockIQ4NL, FourBit, 32>(X16::iq4_nl, Format::iq4_nl),
    {X16::iq4_xs, Format::iq4_xs, 256, 2176, false, 0, pack_iq4_xs},
    {X16::int8, Format::int8, 32, 512, false, 64, pack_int8},
    pair_info<quant::BlockInt8<32>, EightBit, 32>(X16::int8_32, Format::int8_32),
    pair_info<quant::BlockInt8<64>, EightBit, 64>(X16::int8_64, Format::int8_64),
    pair_info<quant::BlockInt8<128>, EightBit, 128>(X16::int8_128, Format::int8_128),
    pair_info<quant::BlockInt4<32>, FourBit, 32>(X16::int4_32, Format::int4_32),
    pair_info<quant::BlockInt4<64>, FourBit, 64>(X16::int4_64, Format::int4_64),
    pair_info<quant::BlockInt4<128>, FourBit, 128>(X16::int4_128, Format::int4_128),
};
static_assert(std::size(table) == x16_count);
static_assert(std::ranges::is_sorted(table, {}, &X16Info::x16));

const X16Info& info(X16 format) noexcept {
  return table[static_cast<size_t>(format)];
}

}  // namespace

std::optional<X16> x16_format(Format format) noexcept {
  for (const X16Info& row : table)
    if (row.format == format) return row.x16;
  return std::nullopt;
}

int64_t x16_columns(X16 format) noexcept {
  return info(format).columns;
}

ActivationFormat x16_activation(X16 format) noexcept {
  return format <= X16::fp8 ? ActivationFormat::f32 : ActivationFormat::q8;
}

int64_t x16_group_bytes(X16 format, int64_t cols) noexcept {
  const X16Info& row = info(format);
  const int64_t units = cols / row.columns;
  return row.pairs ? pairs_bytes(units, row.unit_bytes) : row.head_bytes + units * row.unit_bytes;
}

void pack_x16(const PackArgs& args) noexcept {
  const X16Info& row = table[static_cast<size_t>(x16_format(args.format).value())];
  const int64_t group_bytes = x16_group_bytes(row.x16, args.cols);
  const int64_t row_bytes = quant::row_bytes(args.format, args.cols);
  for (int64_t begin = args.row_begin; begin < args.row_end; begin += row_group) {
    const int64_t count = std::min(row_group, args.row_end - begin);
    auto* group = reinterpret_cast<uint8_t*>(args.dst) + begin / row_group * group_bytes;
    if (count < row_group) std::memset(group, 0, static_cast<size_t>(group_bytes));
    row.pack({.data = args.src + (begin - args.row_begin) * row_bytes,
              .row_bytes = row_bytes,
              .count = static_cast<int>(count),
              .cols = args.cols},
             group);
  }
}

}  // namespace ktx::ops
