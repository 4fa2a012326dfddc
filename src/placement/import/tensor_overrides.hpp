// llama.cpp's tensor overrides (--override-tensor, -ot) as a rules file of ktx.
#pragma once

#include <string>

#include "placement/import/target.hpp"

namespace ktx::placement {

/// The text of a rules file for "regex=BUFFER,regex=BUFFER". What no override takes lies where
/// llama.cpp puts it with --n-gpu-layers 99: on the GPUs, the token embedding on the CPU. Throws
/// input error for what is no such list.
std::string import_tensor_overrides(const std::string& overrides, const ImportTarget& target);

}  // namespace ktx::placement
