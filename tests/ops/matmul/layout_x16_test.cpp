// Layout::x16: as many bytes as the format itself, and the places its description promises.
#include "ops/matmul/layout_x16.hpp"

#include "catch.hpp"
#include "core/quant/blocks.hpp"
#include "ops/matmul/matrices.hpp"

using namespace ktx_test;

TEST_CASE("x16 takes the bytes of the format") {
  for (const auto& info : quant::formats()) {
    const auto x16 = ops::x16_format(info.format);
    if (!x16) continue;
    INFO(info.name);
    REQUIRE(ops::packed_bytes(ops::Layout::x16, info.format, 48, 1024) ==
            48 * quant::row_bytes(info.format, 1024));
    // A matrix of an odd number of units leaves at most half a line a group unused.
    const int64_t cols = ops::x16_columns(*x16) * 3;
    const int64_t least = 16 * quant::row_bytes(info.format, cols);
    REQUIRE(ops::x16_group_bytes(*x16, cols) >= least);
    REQUIRE(ops::x16_group_bytes(*x16, cols) <= least + 32);
    REQUIRE(ops::x16_group_bytes(*x16, cols) % 64 == 0);
    REQUIRE(ops::packed_bytes(ops::Layout::x16, info.format, 33, cols) ==
            3 * ops::x16_group_bytes(*x16, cols));
  }
}

TEST_CASE("every format lies interleaved") {
  for (const auto& info : quant::formats()) {
    INFO(info.name);
    REQUIRE(ops::x16_format(info.format));
  }
}

TEST_CASE("the words of blocks with codebooks lie as in the format, behind the scales of a pair") {
  Random random(6);
  const Matrix w(Format::iq2_s, 32, 768, random);
  const auto packed = w.pack(ops::Layout::x16);
  const int64_t group_bytes = ops::x16_group_bytes(ops::X16::iq2_s, 768);
  REQUIRE(group_bytes == 2 * 64 + 3 * 1280);
  for (int64_t r = 0; r < 32; ++r)
    for (int64_t unit = 0; unit < 3; ++unit) {
      const std::byte* block = w.bytes.data() + (r * 3 + unit) * 82;
      const std::byte* pair = packed.data() + r / 16 * group_bytes + unit / 2 * (64 + 2 * 1280);
      REQUIRE(std::memcmp(pair + unit % 2 * 32 + r % 16 * 2, block, 2) == 0);
      for (int64_t n = 0; n < 20; ++n)
        REQUIRE(std::memcmp(pair + 64 + unit % 2 * 1280 + n * 64 + r % 16 * 4, block + 2 + 4 * n,
                            4) == 0);
    }
}

TEST_CASE("8-bit codes lie as the operand of vpdpbusd and the AMX B tile") {
  Random random(1);
  const Matrix w(Format::q8_0, 32, 96, random);
  const auto packed = w.pack(ops::Layout::x16);
  const int64_t group_bytes = ops::x16_group_bytes(ops::X16::q8_0, 96);
  for (int64_t r = 0; r < 32; ++r) {
    for (int64_t c = 0; c < 96; ++c) {
      quant::BlockQ8_0 block;
      std::memcpy(&block, w.bytes.data() + r * 102 + c / 32 * 34, sizeof(block));
      const int64_t unit = c / 32, k = c % 32 / 4;
      const int64_t body = unit / 2 * (64 + 2 * 512) + 64 + unit % 2 * 512;
      const auto code = static_cast<int>(
          packed.data()[r / 16 * group_bytes + body + k * 64 + r % 16 * 4 + c % 4]);
      REQUIRE(code - 128 == block.qs[c % 32]);
    }
  }
}

TEST_CASE("q2_k: the codes of 64 columns lie behind their scales, 16 columns a vector") {
  Random random(4);
  const Matrix w(Format::q2_k, 32, 512, random);
  const auto packed = w.pack(ops::Layout::x16);
  const int64_t group_bytes = ops::x16_group_bytes(ops::X16::q2_k, 512);
  for (int64_t r = 0; r < 32; ++r) {
    for (int64_t c = 0; c < 512; ++c) {
      quant::BlockQ2K block;
      std::memcpy(&block, w.bytes.data() + r * 168 + c / 256 * 84, sizeof(block));
      const auto* part = reinterpret_cast<const uint8_t*>(packed.data()) + r / 16 * group_bytes +
                         c / 256 * 1344 + 64 + c % 256 / 64 * 320;
      REQUIRE(part[r % 16 * 4 + c % 64 / 16] == block.scales[c % 256 / 16]);
      const int code = part[64 + c % 64 / 16 * 64 + r % 16 * 4 + c % 4] >> c / 4 % 4 * 2 & 3;
      REQUIRE(code == (block.qs[c % 256 / 128 * 32 + c % 32] >> c / 32 % 4 * 2 & 3));
    }
  }
}

TEST_CASE("mxfp4: four units of 32 columns behind a line of their scales") {
  Random random(5);
  const Matrix w(Format::mxfp4, 32, 192, random);
  const auto packed = w.pack(ops::Layout::x16);
  const int64_t group_bytes = ops::x16_group_bytes(ops::X16::mxfp4, 192);
  REQUIRE(group_bytes == 2 * 64 + 6 * 256);
  for (int64_t r = 0; r < 32; ++r) {
    for (int64_t c = 0; c < 192; ++c) {
      quant::BlockMxfp4 block;
      std::memcpy(&block, w.bytes.data() + r * 102 + c / 32 * 17, sizeof(block));
      const int64_t unit = c / 32 % 4, k = c % 32 / 4;
      const auto* four = reinterpret_cast<const uint8_t*>(packed.data()) + r / 16 * group_bytes +
                         c / 128 * (64 + 4 * 256);
      REQUIRE(four[unit * 16 + r % 16] == block.e);
      const int code = four[64 + unit * 256 + k / 2 * 64 + r % 16 * 4 + c % 4] >> k % 2 * 4 & 15;
      REQUIRE(code == (block.qs[c % 16] >> c % 32 / 16 * 4 & 15));
    }
  }
}

TEST_CASE("bf16 lies in pairs of columns, the AMX-bf16 B tile") {
  Random random(2);
  const Matrix w(Format::bf16, 16, 8, random);
  const auto packed = w.pack(ops::Layout::x16);
  for (int64_t r = 0; r < 16; ++r) {
    for (int64_t c = 0; c < 8; ++c) {
      uint16_t bits;
      std::memcpy(&bits, packed.data() + c / 2 * 64 + r * 4 + c % 2 * 2, sizeof(bits));
      REQUIRE(quant::bf16_to_f32(bits) == w.row(r)[c]);
    }
  }
}

TEST_CASE("rows beyond the matrix are zero bytes") {
  Random random(3);
  const Matrix w(Format::int8, 3, 32, random);
  ktx::base::Buffer packed(64 + 512);
  std::fill_n(packed.data(), packed.size(), std::byte{0xff});
  ops::pack_x16({.layout = ops::Layout::x16,
                 .format = Format::int8,
                 .rows = 3,
                 .cols = 32,
                 .row_begin = 0,
                 .row_end = 3,
                 .src = w.bytes.data(),
                 .dst = packed.data()});
  for (size_t i = 0; i < packed.size(); ++i)
    if (i / 4 % 16 >= 3) REQUIRE(packed.data()[i] == std::byte{0});
}
