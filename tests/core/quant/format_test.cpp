// The format table and what holds for every codec.
#include "core/quant/format.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "catch.hpp"
#include "codec.hpp"

using namespace ktx::quant;

TEST_CASE("format: a row for every format, in the enum's order, each under its own name") {
  REQUIRE(formats().size() == static_cast<size_t>(Format::int4_128) + 1);
  std::set<std::string> names;
  std::set<int> types;
  for (size_t i = 0; i < formats().size(); ++i) {
    const FormatInfo& row = formats()[i];
    INFO(row.name);
    CHECK(row.format == static_cast<Format>(i));
    CHECK(&info(row.format) == &row);
    CHECK(names.insert(std::string(row.name)).second);
    CHECK(find_format(row.name) == row.format);
    CHECK(row.decode != nullptr);
    CHECK_FALSE(row.doc.empty());
    if (row.ggml_type >= 0) {
      CHECK(types.insert(row.ggml_type).second);
      CHECK(find_ggml_type(row.ggml_type) == row.format);
    }
  }
  CHECK_FALSE(find_format("q4"));
  CHECK_FALSE(find_format(""));
  CHECK_FALSE(find_ggml_type(-1));
  CHECK_FALSE(find_ggml_type(4));  // withdrawn from ggml
  CHECK(find_ggml_type(12) == Format::q4_k);
}

TEST_CASE("format: the names that ktx can quantize to") {
  const std::vector<std::string> expected = {"f32",     "f16",     "bf16",    "q8_0",
                                             "int8",    "int8/32", "int8/64", "int8/128",
                                             "int4/32", "int4/64", "int4/128"};
  CHECK(encodable_names() == expected);
  CHECK(format_names().size() == formats().size());
}

TEST_CASE("format: which rows fit, and their bytes") {
  struct Case {
    Format format;
    int64_t cols, bytes;
    double bits;
  };
  const Case cases[] = {
      {Format::f32, 7, 28, 32},
      {Format::bf16, 7, 14, 16},
      {Format::fp8, 7168, 56 * 132, 8.25},
      {Format::fp8, 1, 132, 8.25},
      {Format::fp8, 129, 264, 8.25},
      {Format::q4_0, 64, 36, 4.5},
      {Format::q8_0, 32, 34, 8.5},
      {Format::q4_k, 7168, 28 * 144, 4.5},
      {Format::q6_k, 256, 210, 6.5625},
      {Format::iq1_s, 512, 100, 1.5625},
      {Format::mxfp4, 96, 51, 4.25},
      {Format::int8, 7168, 7172, 8},
      {Format::int8_128, 256, 260, 8.125},
      {Format::int4_32, 64, 36, 4.5},
      {Format::int4_64, 64, 34, 4.25},
      {Format::int4_128, 128, 66, 4.125},
  };
  for (const Case& c : cases) {
    INFO(name(c.format) << " " << c.cols);
    CHECK(fits(c.format, c.cols));
    CHECK(row_bytes(c.format, c.cols) == c.bytes);
    CHECK(bits_per_weight(c.format) == c.bits);
  }
  CHECK_FALSE(fits(Format::q4_k, 128));
  CHECK_FALSE(fits(Format::int4_64, 96));
  CHECK_FALSE(fits(Format::int8_32, 33));
  for (const FormatInfo& row : formats()) {
    CHECK_FALSE(fits(row.format, -256));
    CHECK_FALSE(fits(row.format, std::numeric_limits<int64_t>::max() / 256 * 256));
  }
}

TEST_CASE("format: any bytes decode, inside their buffers") {
  std::mt19937 random(11);
  for (const FormatInfo& row : formats()) {
    INFO(row.name);
    for (int trial = 0; trial < 200; ++trial) {
      const int64_t unit = row.block == 0 || row.partial ? 1 : row.block;
      const int64_t cols = unit * static_cast<int64_t>(random() % (unit == 1 ? 300 : 5));
      const auto size = static_cast<size_t>(row_bytes(row.format, cols));
      test::Bytes bytes(size);
      for (std::byte& byte : bytes)
        byte = trial == 0 ? std::byte{0xff} : static_cast<std::byte>(random());
      test::Floats first(static_cast<size_t>(cols), 1.0f), second(first.size(), 2.0f);
      row.decode(bytes.data(), first.data(), cols);
      row.decode(bytes.data(), second.data(), cols);
      // Every output was written, and by the bytes alone.
      const bool same =
          cols == 0 || std::memcmp(first.data(), second.data(), first.size() * 4) == 0;
      REQUIRE(same);
    }
  }
}

TEST_CASE("format: any weights encode, inside their buffers") {
  std::mt19937 random(12);
  for (const FormatInfo& row : formats()) {
    if (!row.encode) continue;
    INFO(row.name);
    for (int trial = 0; trial < 200; ++trial) {
      const int64_t unit = row.block == 0 ? 1 : row.block;
      test::Floats weights(static_cast<size_t>(unit) * (random() % (unit == 1 ? 300 : 5)));
      for (float& weight : weights) {
        const auto bits = static_cast<uint32_t>(random());  // NaN, infinities, subnormals, all
        std::memcpy(&weight, &bits, sizeof(weight));
      }
      const test::Floats back = test::round_trip(row.format, weights);
      // Integer formats never make a weight that is not a number.
      for (size_t i = 0; i < back.size(); ++i)
        if (row.name.starts_with("int") || row.format == Format::q8_0)
          REQUIRE(std::isfinite(back[i]));
    }
  }
}
