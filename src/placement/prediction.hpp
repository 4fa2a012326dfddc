// How fast a plan runs, by the figures of its machine.
#pragma once

#include "placement/plan.hpp"

namespace ktx::placement {

/// Fills in what the plan predicts, and what each module reads to decode a token.
///
/// Decoding: the time that each module's weights take at the bandwidth of where they lie; devices
/// that share a module's experts work at once, all else one after the other. Weights on a GPU whose
/// bandwidth is not known take no time.
///
/// Prompts: routed experts alone, all of which a slice of prefill_chunk tokens needs. A device
/// takes as long as reading or multiplying does, whichever is longer; experts that pass through a
/// GPU are read at its copy_bandwidth.
void predict(Plan& plan);

}  // namespace ktx::placement
