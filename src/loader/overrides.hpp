// Keys of a configuration that the user sets: KEY=VALUE.
#pragma once

#include <span>
#include <string>

#include "core/base/json.hpp"

namespace ktx::loader {

/// Sets each KEY to VALUE, which is JSON, or else a text. With `nested`, "a.b" names the member b
/// of an object a. Throws input error for a text without '='.
void apply_overrides(Json& config, std::span<const std::string> overrides, bool nested);

}  // namespace ktx::loader
