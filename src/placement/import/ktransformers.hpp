// KTransformers' optimize rules as a rules file of ktx.
#pragma once

#include <string>

#include "core/base/yaml.hpp"
#include "placement/import/target.hpp"

namespace ktx::placement {

/// The text of a rules file whose rules give every module of the model the device and format that
/// KTransformers' rules give it, with a comment for every line that has no equal. Throws input
/// error with file:line:column for what is no such file.
std::string import_ktransformers(const base::Yaml& file, const ImportTarget& target);

}  // namespace ktx::placement
