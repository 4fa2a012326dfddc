// The table of tensors and keys in checkpoints that ktx can safely ignore, each with the reason.
#pragma once

#include <optional>
#include <string_view>

#include "core/base/json.hpp"
#include "model/model.hpp"

namespace ktx::model {

/// Why a tensor can be ignored, and the part of the model that it belongs to.
struct HarmlessTensor {
  std::string_view reason;
  std::string_view part;  // a module's path, where it is one that isn't run; else empty
};

/// name: as the checkpoint has it.
std::optional<HarmlessTensor> harmless_tensor(std::string_view name);

/// Whether a key that nothing has read can be ignored with that value. name: without GGUF's prefix;
/// "rope_scaling.factor" in sections.
bool is_harmless_key(Naming naming, std::string_view name, const Json& value);

}  // namespace ktx::model
