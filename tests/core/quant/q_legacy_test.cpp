// q4_0 .. q8_0.
#include <cmath>
#include <limits>

#include "codec.hpp"
#include "core/quant/blocks.hpp"
#include "core/quant/half.hpp"
#include "reference_blocks.hpp"

using namespace ktx::quant;

namespace {

BlockQ8_0 only_block(const test::Floats& weights) {
  BlockQ8_0 block;
  std::memcpy(&block, test::encode(Format::q8_0, weights).data(), sizeof(block));
  return block;
}

}  // namespace

TEST_CASE("q_legacy: every bit as the reference decodes it") {
  for (const Format format : {Format::q4_0, Format::q4_1, Format::q5_0, Format::q5_1, Format::q8_0})
    test::require_reference(format);
}

TEST_CASE("q_legacy: q8_0 codes round half away from zero") {
  test::Floats weights(32, 0.0f);
  weights[0] = 127.0f;  // makes the scale 1
  weights[1] = 0.5f;
  weights[2] = -0.5f;
  weights[3] = std::nextafter(0.5f, 0.0f);
  weights[4] = 2.5f;
  weights[5] = -126.5f;
  const BlockQ8_0 block = only_block(weights);
  CHECK(f16_to_f32(block.d) == 1.0f);
  const int expected[] = {127, 1, -1, 0, 3, -127, 0};
  for (int i = 0; i < 7; ++i) CHECK(int{block.qs[i]} == expected[i]);
}

TEST_CASE("q_legacy: q8_0 stays within half a step, and again stores the same bytes") {
  const test::Floats weights = test::gaussian(4096, 3);
  const test::Bytes row = test::encode(Format::q8_0, weights);
  const test::Floats back = test::decode(Format::q8_0, row, weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    BlockQ8_0 block;
    std::memcpy(&block, row.data() + i / 32 * sizeof(block), sizeof(block));
    // Half a step by rounding the code, and 127 steps times the f16 scale's relative error of
    // 2^-11.
    const float bound = f16_to_f32(block.d) * (0.5f + 127 * 0x1p-11f) * 1.0001f;
    REQUIRE(std::fabs(weights[i] - back[i]) <= bound);
  }
  CHECK(test::encode(Format::q8_0, back) == row);
}

TEST_CASE("q_legacy: q8_0 of zeros, NaN, infinities and the largest numbers") {
  CHECK(test::round_trip(Format::q8_0, test::Floats(64, 0.0f)) == test::Floats(64, 0.0f));
  test::Floats weights(32, 1.0f);
  weights[0] = NAN;
  weights[1] = std::numeric_limits<float>::infinity();
  weights[2] = -std::numeric_limits<float>::infinity();
  const BlockQ8_0 block = only_block(weights);
  CHECK(int{block.qs[0]} == 0);
  CHECK(int{block.qs[1]} == 127);
  CHECK(int{block.qs[2]} == -127);
  CHECK(int{block.qs[3]} == 127);
  for (const float weight : test::round_trip(Format::q8_0, test::Floats(32, 1e9f)))
    CHECK(weight == 127 * 65504.0f);
}
