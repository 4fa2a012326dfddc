// iq2_s, iq2_xs and iq2_xxs.
// covers: iq_grids
#include "reference_blocks.hpp"

using namespace ktx::quant;

TEST_CASE("iq2: every bit as the reference decodes it") {
  for (const Format format : {Format::iq2_s, Format::iq2_xs, Format::iq2_xxs})
    test::require_reference(format);
}
