// Expert usage profiles: which experts of each layer are used most, from a file.
#pragma once

#include <filesystem>
#include <map>
#include <string_view>
#include <vector>

#include "core/base/yaml.hpp"

namespace ktx::placement {

/// For each layer some experts, most used first.
using ExpertOrder = std::map<int, std::vector<int>>;

/// A list of different experts, numbered from 0. what: for messages.
std::vector<int> parse_expert_list(const base::Yaml& value, std::string_view what);

/// A file such as
///   layers: {3: [5, 17, 200], 4: [8, 31], 5-60: [0, 1]}
/// Throws input error with file:line:column.
ExpertOrder read_expert_order(const std::filesystem::path& file);
ExpertOrder parse_expert_order(const base::Yaml& yaml);

}  // namespace ktx::placement
