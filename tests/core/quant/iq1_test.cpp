// iq1_s and iq1_m.
#include "reference_blocks.hpp"

using namespace ktx::quant;

TEST_CASE("iq1: every bit as the reference decodes it") {
  for (const Format format : {Format::iq1_s, Format::iq1_m}) test::require_reference(format);
}
