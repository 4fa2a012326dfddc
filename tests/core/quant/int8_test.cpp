// int8 and int8/G: steps, scales and unusual weights.
#include <cmath>
#include <cstring>
#include <limits>

#include "catch.hpp"
#include "codec.hpp"
#include "core/quant/half.hpp"

using namespace ktx::quant;

namespace {

const Format grouped[] = {Format::int8_32, Format::int8_64, Format::int8_128};

float group_scale(Format format, const test::Bytes& row, size_t column) {
  const auto& table = info(format);
  const std::byte* block = row.data() + column / static_cast<size_t>(table.block) *
                                            static_cast<size_t>(table.block_bytes);
  uint16_t bits;
  std::memcpy(&bits, block, sizeof(bits));
  return bf16_to_f32(bits);
}

float row_scale(const test::Bytes& row) {
  float scale;
  std::memcpy(&scale, row.data(), sizeof(scale));
  return scale;
}

}  // namespace

TEST_CASE("int8: a row's codes are within half a step and span the whole range") {
  const test::Floats weights = test::gaussian(1000, 1);
  float most = 0;
  for (const float weight : weights) most = std::max(most, std::fabs(weight));
  const test::Bytes row = test::encode(Format::int8, weights);
  const float scale = row_scale(row);
  CHECK(scale == most / 127.0f);
  const test::Floats back = test::decode(Format::int8, row, weights.size());
  for (size_t i = 0; i < weights.size(); ++i)
    REQUIRE(std::fabs(weights[i] - back[i]) <= 0.50001f * scale);
}

TEST_CASE("int8: encoding a decoded row gives its codes again") {
  const test::Bytes row = test::encode(Format::int8, test::gaussian(777, 2));
  const test::Bytes again = test::encode(Format::int8, test::decode(Format::int8, row, 777));
  CHECK(std::memcmp(row.data() + 4, again.data() + 4, 777) == 0);
  // 127 * scale / 127 may move by one unit in the last place.
  CHECK(std::fabs(row_scale(again) - row_scale(row)) <= row_scale(row) * 0x1p-22f);
}

TEST_CASE("int8/G: within half a step of the group's scale, and again the same bytes") {
  for (const Format format : grouped) {
    INFO(name(format));
    const test::Floats weights = test::gaussian(128 * 100, 4);
    const test::Bytes row = test::encode(format, weights);
    const test::Floats back = test::decode(format, row, weights.size());
    for (size_t i = 0; i < weights.size(); ++i) {
      const float scale = group_scale(format, row, i);
      REQUIRE(std::fabs(weights[i] - back[i]) <= 0.50001f * scale);
    }
    CHECK(test::encode(format, back) == row);
  }
}

TEST_CASE("int8: smaller groups lose less") {
  const test::Floats weights = test::gaussian(128 * 100, 5);
  double last = 0;
  for (const Format format : {Format::int8_32, Format::int8_64, Format::int8_128, Format::int8}) {
    const double error = test::relative_error(weights, test::round_trip(format, weights));
    INFO(name(format) << " " << error);
    CHECK(error > last);
    last = error;
  }
  // A row of 12800: absmax is about 4 deviations, the step 4/127, the error step^2/12.
  CHECK(last < 1.5 * (4.0 / 127) * (4.0 / 127) / 12);
}

TEST_CASE("int8: zeros, NaN and infinities") {
  for (const Format format : {Format::int8, Format::int8_32, Format::int8_64, Format::int8_128}) {
    INFO(name(format));
    const test::Floats zeros(128, 0.0f);
    CHECK(test::round_trip(format, zeros) == zeros);
    CHECK(test::round_trip(format, test::Floats(128, 1e-38f)) == zeros);
    test::Floats weights(128, 0.5f);
    weights[1] = NAN;
    weights[2] = std::numeric_limits<float>::infinity();
    weights[3] = -std::numeric_limits<float>::infinity();
    const test::Floats back = test::round_trip(format, weights);
    CHECK(back[0] == Approx(0.5f).epsilon(0x1p-8));
    CHECK(back[1] == 0.0f);
    CHECK(back[2] == back[0]);
    CHECK(back[3] == -back[0]);
  }
}
