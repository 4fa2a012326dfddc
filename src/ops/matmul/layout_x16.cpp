// Sizes of Layout::x16 and the packing of every format into it.
#include "ops/matmul/layout_x16.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/quant/blocks.hpp"
#include "ops/matmul/four_rows.hpp"

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

void store(uint8_t* p, Words words) noexcept {
  std::memcpy(p, &words, sizeof(words));
}

// Readers: the unsigned codes of a block's columns in order, four columns of each of four rows a
// word. A code's meaning for the format is not touched.

using Codes = Words[64];

constexpr Words low_bits(int bits) noexcept {
  return all_words(0x01010101u * ((1u << bits) - 1));
}

template <int N>
void read_words(const FourRows& rows, size_t offset, Words (&out)[N]) noexcept {
  each_word(rows, static_cast<int64_t>(offset), N, [&out](int64_t k, Words w) { out[k] = w; });
}

/// Nibbles in groups of 2 * Half columns: low nibbles, then high ones, of Half bytes.
template <int Half, int N>
void take_nibbles(const Words (&q)[N], Words* out) noexcept {
  constexpr int half = Half / 4;
  for (int g = 0; g < N; g += half)
    for (int k = g; k < g + half; ++k) {
      out[g + k] = q[k] & low_bits(4);
      out[g + k + half] = q[k] >> 4 & low_bits(4);
    }
}

template <class Block, int Half, size_t Offset, size_t Bytes>
void read_nibbles(const FourRows& block, Codes& out) noexcept {
  Words q[Bytes / 4];
  read_words(block, Offset, q);
  take_nibbles<Half>(q, out);
}

struct EightBit {
  static constexpr int bits = 8;
  template <class Block>
  static void read(const FourRows& block, Codes& out) noexcept {
    // One 16-bit scale, then the codes.
    constexpr size_t bytes = sizeof(Block) - 2;
    each_word(block, 2, bytes / 4,
              [&](int64_t k, Words w) { out[k] = w ^ (all_words(0x80808080u) & block.mask); });
  }
};

struct FourBit {
  static constexpr int bits = 4;
  template <class Block>
  static void read(const FourRows& block, Codes& out) noexcept {
    if constexpr (requires(Block b) { b.qs; }) {
      constexpr bool halves_of_32 = std::is_same_v<Block, quant::BlockQ4K>;
      read_nibbles<Block, halves_of_32 ? 32 : 16, offsetof(Block, qs), sizeof(Block::qs)>(block,
                                                                                          out);
    } else {
      read_nibbles<Block, sizeof(Block::q), offsetof(Block, q), sizeof(Block::q)>(block, out);
    }
  }
};

struct FiveBit {
  static constexpr int bits = 5;
  template <class Block>
  static void read(const FourRows& block, Codes& out) noexcept {
    if constexpr (sizeof(Block::qs) == 16) return read_32<Block>(block, out);
    read_nibbles<Block, 32, offsetof(Block, qs), sizeof(Block::qs)>(block, out);
    Words high[8];
    read_words(block, offsetof(Block, qh), high);
#pragma GCC unroll 8
    for (int sub = 0; sub < 8; ++sub)
      for (int k = 0; k < 8; ++k) out[sub * 8 + k] |= (high[k] >> sub & low_bits(1)) << 4;
  }

 private:
  // q5_0, q5_1: bit c of a word is that of column c. The product puts bit i of four into byte i.
  template <class Block>
  static void read_32(const FourRows& block, Codes& out) noexcept {
    read_nibbles<Block, 16, offsetof(Block, qs), sizeof(Block::qs)>(block, out);
    Words high[1];
    read_words(block, offsetof(Block, qh), high);
    for (int k = 0; k < 8; ++k)
      out[k] |= ((high[0] >> 4 * k & all_words(15)) * all_words(0x00204081u) & low_bits(1)) << 4;
  }
};

// A half of 128 columns: quarter q takes nibble q / 2 of 32 low bytes and pair q of 32 high ones.
struct SixBit {
  static constexpr int bits = 6;
  template <class Block>
  static void read(const FourRows& block, Codes& out) noexcept {
    Words low[32], high[16];
    read_words(block, offsetof(Block, ql), low);
    read_words(block, offsetof(Block, qh), high);
#pragma GCC unroll 8
    for (int sub = 0; sub < 8; ++sub) {
      const int half = sub / 4, quarter = sub % 4;
      for (int k = 0; k < 8; ++k)
        out[sub * 8 + k] = (low[half * 16 + quarter % 2 * 8 + k] >> quarter / 2 * 4 & low_bits(4)) |
                           (high[half * 8 + k] >> quarter * 2 & low_bits(2)) << 4;
    }
  }
};

// 32 bytes hold the lowest two bits of 128 columns, a pair for each 32.
template <class Block>
void read_pairs(const FourRows& block, Codes& out) noexcept {
  Words q[16];
  read_words(block, offsetof(Block, qs), q);
#pragma GCC unroll 8
  for (int sub = 0; sub < 8; ++sub)
    for (int k = 0; k < 8; ++k) out[sub * 8 + k] = q[sub / 4 * 8 + k] >> sub % 4 * 2 & low_bits(2);
}

struct TwoBit {
  static constexpr int bits = 2;
  template <class Block>
  static void read(const FourRows& block, Codes& out) noexcept {
    read_pairs<Block>(block, out);
  }
};

struct ThreeBit {
  static constexpr int bits = 3;
  template <class Block>
  static void read(const FourRows& block, Codes& out) noexcept {
    read_pairs<Block>(block, out);
    Words high[8];
    read_words(block, offsetof(Block, hmask), high);
#pragma GCC unroll 8
    for (int sub = 0; sub < 8; ++sub)
      for (int k = 0; k < 8; ++k) out[sub * 8 + k] |= (high[k] >> sub & low_bits(1)) << 2;
  }
};

// Four lanes of bits [From, From + Count) of the codes of Cols columns: of as many words as fit a
// byte, one above the other.
template <int From, int Count, int Cols>
void put_bits(const Words* codes, uint8_t* body) noexcept {
  constexpr int codes_a_word = 8 / Count;
  for (int k = 0; k < Cols / 4; k += codes_a_word) {
    Words word{};
    for (int i = 0; i < codes_a_word; ++i)
      word |= (codes[k + i] >> From & low_bits(Count)) << i * Count;
    store(body + k / codes_a_word * 64, word);
  }
}

// Writes four lanes of the codes of Cols columns at body, as layout_x16.hpp describes.
template <int Bits, int Cols>
void put_codes(const Words* codes, uint8_t* body) noexcept {
  constexpr int low = Bits == 8 ? 8 : Bits >= 4 ? 4 : 2;
  put_bits<0, low, Cols>(codes, body);
  if constexpr (Bits > low) put_bits<low, Bits - low, Cols>(codes, body + Cols * 2 * low);
}

/// body: where the group's lane 0 lies.
template <class Reader, int Cols, class Block>
void put_block(const FourRows& block, uint8_t* body) noexcept {
  constexpr int bits = Reader::bits, part = bits < 4 ? 64 : Cols;
  Codes codes;
  Reader::template read<Block>(block, codes);
  for (int col = 0; col < Cols; col += part)
    put_codes<bits, part>(codes + col / 4, body + block.lane * 4 + col * 2 * bits);
}

/// The 16-bit numbers at `offset` of the rows that are there, to their lanes.
void put_halves(const FourRows& rows, size_t offset, uint8_t* lanes) noexcept {
  for (int i = 0; i < 4; ++i)
    if (rows.mask[i] != 0) std::memcpy(lanes + (rows.lane + i) * 2, rows.row[i] + offset, 2);
}

/// 32-bit words from `offset` on, a vector of all lanes each.
void put_words(const FourRows& rows, size_t offset, int64_t words, uint8_t* vectors) noexcept {
  each_word(rows, static_cast<int64_t>(offset), words,
            [at = vectors + rows.lane * 4](int64_t k, Words w) { store(at + k * 64, w); });
}

// Calls use(rows) for each four rows of a group.
template <class Use>
void each_four(const Rows& rows, const Use& use) noexcept {
  for (int lane = 0; lane < rows.count; lane += 4)
    use(four_rows(rows.data, rows.row_bytes, rows.count, lane));
}

// Calls use(index, block) for each four rows of each block along the columns, block by block: what
// is written together lies together. The rows of `block` point to the block.
template <class Block, class Use>
void each_block(const Rows& rows, int64_t cols, const Use& use) noexcept {
  constexpr auto bytes = static_cast<int64_t>(sizeof(Block));
  for (int64_t u = 0; u < rows.cols / cols; ++u)
    for (int lane = 0; lane < rows.count; lane += 4)
      use(u, four_rows(rows.data + u * bytes, rows.row_bytes, rows.count, lane));
}

// f32 columns, bf16 pairs.
void pack_words(const Rows& rows, uint8_t* group) noexcept {
  each_four(rows, [&](const FourRows& four) {
    put_words(four, 0, rows.row_bytes / static_cast<int64_t>(sizeof(uint32_t)), group);
  });
}

void pack_f16(const Rows& rows, uint8_t* group) noexcept {
  each_four(rows, [&](const FourRows& four) {
    each_word(four, 0, rows.cols / 2, [&](int64_t k, Words w) {
      uint16_t halves[8];  // two columns of four rows each
      std::memcpy(halves, &w, sizeof halves);
      for (int i = 0; i < 4; ++i) {
        std::memcpy(group + 2 * k * 32 + (four.lane + i) * 2, halves + 2 * i, 2);
        std::memcpy(group + (2 * k + 1) * 32 + (four.lane + i) * 2, halves + 2 * i + 1, 2);
      }
    });
  });
}

typedef uint8_t Bytes __attribute__((vector_size(16)));

// 16 rows of 16 bytes to 16 columns. Interleaving the first half of the rows with the second one
// four times is the transposition.
void transpose_bytes(Bytes (&rows)[16]) noexcept {
  for (int round = 0; round < 4; ++round) {
    Bytes next[16];
    for (int i = 0; i < 8; ++i) {
      next[2 * i] = __builtin_shufflevector(rows[i], rows[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20,
                                            5, 21, 6, 22, 7, 23);
      next[2 * i + 1] = __builtin_shufflevector(rows[i], rows[i + 8], 8, 24, 9, 25, 10, 26, 11, 27,
                                                12, 28, 13, 29, 14, 30, 15, 31);
    }
    std::memcpy(rows, next, sizeof next);
  }
}

void pack_fp8(const Rows& rows, uint8_t* group) noexcept {
  using Block = quant::BlockFp8;
  for (int64_t u = 0; u < rows.cols / 128; ++u) {
    uint8_t* unit = group + u * (64 + 128 * 16);
    const std::byte* blocks = rows.data + u * static_cast<int64_t>(sizeof(Block));
    for (int c = 0; c < 128; c += 16) {
      Bytes codes[16] = {};
      for (int lane = 0; lane < rows.count; ++lane)
        std::memcpy(codes + lane, blocks + lane * rows.row_bytes + offsetof(Block, q) + c, 16);
      transpose_bytes(codes);
      std::memcpy(unit + 64 + c * 16, codes, sizeof codes);
    }
    for (int lane = 0; lane < rows.count; ++lane) {
      Block b;
      std::memcpy(&b, blocks + lane * rows.row_bytes, sizeof b);
      int nans = 0;
      for (const uint8_t code : b.q) nans += (code & 0x7f) == 0x7f;
      // Kernels read the codes of NaN as 480; through the scale the row's products still are NaN.
      const float scale = nans != 0 ? std::numeric_limits<float>::quiet_NaN() : b.scale;
      std::memcpy(unit + lane * 4, &scale, 4);
    }
  }
}

void pack_int8(const Rows& rows, uint8_t* group) noexcept {
  each_four(rows, [&](const FourRows& four) {
    put_words(four, 0, 1, group);
    each_word(four, 4, rows.cols / 4, [&, out = group + 64 + four.lane * 4](int64_t k, Words w) {
      store(out + k * 64, w ^ (all_words(0x80808080u) & four.mask));
    });
  });
}

// q4_1, q5_1.
template <class Block, class Reader>
void pack_min(const Rows& rows, uint8_t* group) noexcept {
  each_block<Block>(rows, 32, [&](int64_t u, const FourRows& block) {
    uint8_t* unit = group + u * row_group * static_cast<int64_t>(sizeof(Block));
    put_halves(block, offsetof(Block, d), unit);
    put_halves(block, offsetof(Block, m), unit + 32);
    put_block<Reader, 32, Block>(block, unit + 64);
  });
}

void pack_q2_k(const Rows& rows, uint8_t* group) noexcept {
  using Block = quant::BlockQ2K;
  each_block<Block>(rows, 256, [&](int64_t u, const FourRows& block) {
    uint8_t* unit = group + u * row_group * static_cast<int64_t>(sizeof(Block));
    put_halves(block, offsetof(Block, d), unit);
    put_halves(block, offsetof(Block, dmin), unit + 32);
    Codes codes;
    TwoBit::read<Block>(block, codes);
    for (int part = 0; part < 4; ++part) {
      uint8_t* scales = unit + 64 + part * 320;
      put_words(block, offsetof(Block, scales) + 4 * static_cast<size_t>(part), 1, scales);
      put_codes<2, 64>(codes + part * 16, scales + 64 + block.lane * 4);
    }
  });
}

// q4_k, q5_k.
template <class Block, class Reader>
void pack_k(const Rows& rows, uint8_t* group) noexcept {
  each_block<Block>(rows, 256, [&](int64_t u, const FourRows& block) {
    uint8_t* unit = group + u * row_group * static_cast<int64_t>(sizeof(Block));
    put_halves(block, offsetof(Block, d), unit);
    put_halves(block, offsetof(Block, dmin), unit + 32);
    put_words(block, offsetof(Block, scales), 3, unit + 64);
    put_block<Reader, 256, Block>(block, unit + 256);
  });
}

void pack_iq4_xs(const Rows& rows, uint8_t* group) noexcept {
  using Block = quant::BlockIQ4XS;
  each_block<Block>(rows, 256, [&](int64_t u, const FourRows& block) {
    uint8_t* unit = group + u * row_group * static_cast<int64_t>(sizeof(Block));
    put_halves(block, offsetof(Block, d), unit);
    put_halves(block, offsetof(Block, scales_h), unit + 32);
    put_words(block, offsetof(Block, scales_l), 1, unit + 64);
    put_block<FourBit, 256, Block>(block, unit + 128);
  });
}

template <class Block>
constexpr size_t scale_offset() noexcept {
  if constexpr (requires(Block b) { b.d; })
    return offsetof(Block, d);
  else
    return offsetof(Block, scale);
}

// Of blocks whose words behind the scale stay as they are.
struct AsWords {};

// Units with one 16-bit scale, in pairs.
template <class Block, class Reader, int Cols>
void pack_pairs(const Rows& rows, uint8_t* group) noexcept {
  constexpr int64_t body_bytes = row_group * static_cast<int64_t>(sizeof(Block) - 2);
  each_block<Block>(rows, Cols, [&](int64_t u, const FourRows& block) {
    uint8_t* pair = group + u / 2 * (64 + 2 * body_bytes);
    uint8_t* body = pair + 64 + u % 2 * body_bytes;
    put_halves(block, scale_offset<Block>(), pair + u % 2 * 32);
    if constexpr (std::is_same_v<Reader, AsWords>) {
      put_words(block, 2, body_bytes / 64, body);
    } else {
      if constexpr (requires(Block b) { b.scales; }) {
        put_words(block, offsetof(Block, scales), sizeof(Block::scales) / 4, body);
        body += row_group * static_cast<int64_t>(sizeof(Block::scales));
      }
      put_block<Reader, Cols, Block>(block, body);
    }
  });
}

// Units with one 8-bit scale, in fours.
void pack_mxfp4(const Rows& rows, uint8_t* group) noexcept {
  using Block = quant::BlockMxfp4;
  each_block<Block>(rows, 32, [&](int64_t u, const FourRows& block) {
    uint8_t* four = group + u / 4 * (64 + 4 * 256);
    uint8_t* scales = four + u % 4 * 16 + block.lane;
    for (int i = 0; i < 4; ++i)
      if (block.mask[i] != 0) std::memcpy(scales + i, block.row[i] + offsetof(Block, e), 1);
    put_block<FourBit, 32, Block>(block, four + 64 + u % 4 * 256);
  });
}

void pack_iq1_m(const Rows& rows, uint8_t* group) noexcept {
  using Block = quant::BlockIQ1M;
  each_block<Block>(rows, 256, [&](int64_t u, const FourRows& block) {
    put_words(block, 0, sizeof(Block) / 4,
              group + u * row_group * static_cast<int64_t>(sizeof(Block)));
  });
}

struct X16Info {
  X16 x16;
  Format format;
  int columns;         // of a unit
  int64_t unit_bytes;  // of 16 rows; of a unit's body where units come together
  int together;        // units behind one line of their scales; 0: none
  int64_t head_bytes;  // before all units
  void (*pack)(const Rows& rows, uint8_t* group) noexcept;
};

template <class Block, class Reader, int Cols>
constexpr X16Info pair_info(X16 x16, Format format) {
  return {x16,
          format,
          Cols,
          16 * (static_cast<int64_t>(sizeof(Block)) - 2),
          2,
          0,
          pack_pairs<Block, Reader, Cols>};
}

// In the order of X16.
constexpr X16Info table[] = {
    {X16::f32, Format::f32, 2, 128, 0, 0, pack_words},
    {X16::f16, Format::f16, 2, 64, 0, 0, pack_f16},
    {X16::bf16, Format::bf16, 2, 64, 0, 0, pack_words},
    {X16::fp8, Format::fp8, 128, 64 + 2048, 0, 0, pack_fp8},
    pair_info<quant::BlockQ4_0, FourBit, 32>(X16::q4_0, Format::q4_0),
    {X16::q4_1, Format::q4_1, 32, 320, 0, 0, pack_min<quant::BlockQ4_1, FourBit>},
    pair_info<quant::BlockQ5_0, FiveBit, 32>(X16::q5_0, Format::q5_0),
    {X16::q5_1, Format::q5_1, 32, 384, 0, 0, pack_min<quant::BlockQ5_1, FiveBit>},
    pair_info<quant::BlockQ8_0, EightBit, 32>(X16::q8_0, Format::q8_0),
    {X16::q2_k, Format::q2_k, 256, 1344, 0, 0, pack_q2_k},
    pair_info<quant::BlockQ3K, ThreeBit, 256>(X16::q3_k, Format::q3_k),
    {X16::q4_k, Format::q4_k, 256, 2304, 0, 0, pack_k<quant::BlockQ4K, FourBit>},
    {X16::q5_k, Format::q5_k, 256, 2816, 0, 0, pack_k<quant::BlockQ5K, FiveBit>},
    pair_info<quant::BlockQ6K, SixBit, 256>(X16::q6_k, Format::q6_k),
    pair_info<quant::BlockIQ4NL, FourBit, 32>(X16::iq4_nl, Format::iq4_nl),
    {X16::iq4_xs, Format::iq4_xs, 256, 2176, 0, 0, pack_iq4_xs},
    {X16::mxfp4, Format::mxfp4, 32, 256, 4, 0, pack_mxfp4},
    pair_info<quant::BlockIQ3S, AsWords, 256>(X16::iq3_s, Format::iq3_s),
    pair_info<quant::BlockIQ3XXS, AsWords, 256>(X16::iq3_xxs, Format::iq3_xxs),
    pair_info<quant::BlockIQ2S, AsWords, 256>(X16::iq2_s, Format::iq2_s),
    pair_info<quant::BlockIQ2XS, AsWords, 256>(X16::iq2_xs, Format::iq2_xs),
    pair_info<quant::BlockIQ2XXS, AsWords, 256>(X16::iq2_xxs, Format::iq2_xxs),
    pair_info<quant::BlockIQ1S, AsWords, 256>(X16::iq1_s, Format::iq1_s),
    {X16::iq1_m, Format::iq1_m, 256, 896, 0, 0, pack_iq1_m},
    {X16::int8, Format::int8, 32, 512, 0, 64, pack_int8},
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
  const int64_t scale_lines = row.together == 0 ? 0 : (units + row.together - 1) / row.together;
  return row.head_bytes + scale_lines * 64 + units * row.unit_bytes;
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
