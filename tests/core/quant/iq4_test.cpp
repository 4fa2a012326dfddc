// iq4_nl and iq4_xs.
#include "reference_blocks.hpp"

using namespace ktx::quant;

TEST_CASE("iq4: every bit as the reference decodes it") {
  for (const Format format : {Format::iq4_nl, Format::iq4_xs}) test::require_reference(format);
}
