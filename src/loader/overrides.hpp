// Configuration keys that the user overrides: KEY=VALUE.
#pragma once

#include <span>
#include <string>

#include "core/base/json.hpp"
#include "loader/checkpoint.hpp"

namespace ktx::loader {

/// Sets each KEY to VALUE, which is JSON, or else a text. In config.json "a.b" names the member b
/// of an object a. A key of GGUF metadata must be one of the header, of the architecture, or one
/// that ktx reads where it is there; what the architecture has no use for is left to
/// model::build_model, as all of config.json's are. Throws input error.
void apply_overrides(Json& config, std::span<const std::string> overrides, CheckpointKind kind);

}  // namespace ktx::loader
