// iq3_s and iq3_xxs.
#include "reference_blocks.hpp"

using namespace ktx::quant;

TEST_CASE("iq3: every bit as the reference decodes it") {
  for (const Format format : {Format::iq3_s, Format::iq3_xxs}) test::require_reference(format);
}
