// e4m3 codes and fp8 rows.
#include "core/quant/fp8.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "catch.hpp"
#include "codec.hpp"
#include "core/quant/blocks.hpp"

using namespace ktx::quant;

namespace {

// e4m3fn from its definition, in exact arithmetic.
double exact_value(int code) {
  const int exponent = (code >> 3) & 15, mantissa = code & 7;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return code & 128 ? -magnitude : magnitude;
}

}  // namespace

TEST_CASE("fp8: all 256 codes") {
  for (int code = 0; code < 256; ++code) {
    INFO(code);
    const float value = e4m3_values[static_cast<size_t>(code)];
    if ((code & 127) == 127) {
      CHECK(std::isnan(value));
    } else {
      CHECK(double{value} == exact_value(code));
      CHECK(std::signbit(value) == (code >= 128));
    }
  }
  CHECK(e4m3_values[0x7e] == 448.0f);
  CHECK(e4m3_values[0x01] == 0x1p-9f);
}

TEST_CASE("fp8: e4m3_code finds the nearest value, of two the even code") {
  for (unsigned code = 0; code < 0x7f; ++code) {
    const float value = e4m3_values[code];
    REQUIRE(e4m3_code(value) == code);
    REQUIRE(e4m3_code(-value) == (code | 0x80u));
    if (code == 0x7e) continue;
    const float next = e4m3_values[code + 1], middle = (value + next) / 2;  // exact
    REQUIRE(e4m3_code(middle) == code + code % 2);
    REQUIRE(e4m3_code(std::nextafter(middle, 0.0f)) == code);
    REQUIRE(e4m3_code(std::nextafter(middle, next)) == code + 1);
  }
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float large : {448.0f, 465.0f, 1e30f, infinity}) {
    CHECK(e4m3_code(large) == 0x7e);
    CHECK(e4m3_code(-large) == 0xfe);
  }
  CHECK((e4m3_code(std::nanf("")) & 0x7f) == 0x7f);
  CHECK(e4m3_code(1e-30f) == 0);
}

TEST_CASE("fp8: each block of 128 has its scale, and the last may be cut short") {
  const size_t cols = 300;
  test::Bytes row(3 * sizeof(BlockFp8));
  REQUIRE(row_bytes(Format::fp8, cols) == static_cast<int64_t>(row.size()));
  for (size_t b = 0; b < 3; ++b) {
    BlockFp8 block;
    block.scale = static_cast<float>(b + 1) * 0.125f;
    for (size_t i = 0; i < 128; ++i) block.q[i] = static_cast<uint8_t>((b * 31 + i) % 127);
    std::memcpy(row.data() + b * sizeof(block), &block, sizeof(block));
  }
  const test::Floats weights = test::decode(Format::fp8, row, cols);
  for (size_t i = 0; i < cols; ++i) {
    const size_t b = i / 128;
    const int code = static_cast<int>((b * 31 + i % 128) % 127);
    REQUIRE(double{weights[i]} == exact_value(code) * 0.125 * static_cast<double>(b + 1));
  }
}
