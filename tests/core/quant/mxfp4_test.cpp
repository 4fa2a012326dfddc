// mxfp4.
#include <cmath>

#include "core/quant/blocks.hpp"
#include "reference_blocks.hpp"

using namespace ktx::quant;

TEST_CASE("mxfp4: every bit as the reference decodes it") {
  test::require_reference(Format::mxfp4);
}

TEST_CASE("mxfp4: scales are halves of powers of two to either end, and NaN") {
  for (int code = 0; code < 255; ++code) {
    INFO(code);
    CHECK(mxfp4_scale(static_cast<uint8_t>(code)) == std::ldexp(1.0f, code - 128));
  }
  CHECK(std::isnan(mxfp4_scale(255)));
}
