// Compares two plans of one model.
#pragma once

#include <string>

#include "placement/plan.hpp"

namespace ktx::placement {

/// Modules that the plans place differently, folded over their layers, settings that differ, memory
/// and predictions; or that there is no difference. Lines end with '\n'. Throws input error when
/// their models have different modules.
std::string diff(const Plan& a, const Plan& b);

}  // namespace ktx::placement
