// Conversions of the 16-bit floats, and the float rows.
#include <cmath>
#include <limits>

#include "codec.hpp"
#include "core/quant/half.hpp"
#include "reference_blocks.hpp"

using namespace ktx::quant;

namespace {

const float infinity = std::numeric_limits<float>::infinity();

double exact_f16(int bits) {
  const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

// Every step between neighbours of a 16-bit float: the middle goes to the even one, the rest to the
// nearest. max: the bits of the largest finite number.
template <class Decode, class Encode>
void require_nearest_even(int max, Decode decode, Encode encode) {
  for (int bits = 0; bits < max; ++bits) {
    const float low = decode(static_cast<uint16_t>(bits));
    const float high = decode(static_cast<uint16_t>(bits + 1));
    const float middle = static_cast<float>((double{low} + double{high}) / 2);
    const bool right = encode(middle) == (bits % 2 == 0 ? bits : bits + 1) &&
                       encode(std::nextafter(middle, 0.0f)) == bits &&
                       encode(std::nextafter(middle, infinity)) == bits + 1 &&
                       encode(-middle) == ((bits % 2 == 0 ? bits : bits + 1) | 0x8000);
    if (!right) {
      INFO("between " << low << " and " << high);
      FAIL("rounds wrongly");
    }
  }
}

}  // namespace

TEST_CASE("float: every bit as the reference decodes it") {
  for (const Format format : {Format::f16, Format::bf16}) test::require_reference(format);
}

TEST_CASE("float: all 65536 halves have their exact value and come back") {
  for (int bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float f = f16_to_f32(half), b = bf16_to_f32(half);
    if (std::isnan(f)) {
      REQUIRE((bits & 0x7c00) == 0x7c00);
      REQUIRE(std::isnan(f16_to_f32(f32_to_f16(f))));
    } else {
      if (std::isfinite(f)) REQUIRE(double{f} == exact_f16(bits));
      REQUIRE(f32_to_f16(f) == half);
    }
    if (std::isnan(b))
      REQUIRE(std::isnan(bf16_to_f32(f32_to_bf16(b))));
    else
      REQUIRE(f32_to_bf16(b) == half);
  }
}

TEST_CASE("float: rounding to the nearest half, ties to even") {
  require_nearest_even(0x7bff, f16_to_f32, f32_to_f16);
  // The middle of bf16's smallest subnormals is one too; all middles are exact in f32.
  require_nearest_even(0x7f7f, bf16_to_f32, f32_to_bf16);
}

TEST_CASE("float: halves overflow to infinity and keep NaN") {
  CHECK(f32_to_f16(65519.99f) == 0x7bff);
  CHECK(f32_to_f16(65520.0f) == 0x7c00);
  CHECK(f32_to_f16(-1e30f) == 0xfc00);
  CHECK(f32_to_f16(0x1p-25f) == 0);
  CHECK(f32_to_f16(std::nextafter(0x1p-25f, 1.0f)) == 1);
  CHECK(f32_to_bf16(std::numeric_limits<float>::max()) == 0x7f80);
  CHECK(std::isnan(f16_to_f32(f32_to_f16(NAN))));
  CHECK(std::isnan(bf16_to_f32(f32_to_bf16(NAN))));
}

TEST_CASE("float: rows") {
  const test::Floats weights = {0.0f, -0.0f, 1.0f, -1.5f, 0.1f, 65504.0f, infinity};
  CHECK(test::round_trip(Format::f32, weights) == weights);
  const test::Floats halves = test::round_trip(Format::f16, weights);
  const test::Floats brains = test::round_trip(Format::bf16, weights);
  for (size_t i = 0; i < weights.size(); ++i) {
    CHECK(halves[i] == f16_to_f32(f32_to_f16(weights[i])));
    CHECK(brains[i] == bf16_to_f32(f32_to_bf16(weights[i])));
  }
}
