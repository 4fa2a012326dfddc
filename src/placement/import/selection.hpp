// Finds `match` conditions that select exactly a given set of modules.
#pragma once

#include <string>
#include <vector>

#include "core/graph/graph.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// One flag for each module of a model. Modules that are not run are in no set.
using ModuleSet = std::vector<char>;

/// All modules that are run.
ModuleSet run_modules(const graph::Model& model);

bool is_empty(const ModuleSet& set) noexcept;

/// The modules of `open` that the keys take.
ModuleSet taken(const Match& match, const graph::Model& model, const ModuleSet& open);

/// Matches that together take exactly `wanted` where only modules of `open`, which holds all of
/// them, are left to take: the classes, layers and names that say it shortest.
std::vector<Match> select(const graph::Model& model, const ModuleSet& wanted,
                          const ModuleSet& open);

/// The own class of all of them; "modules" where there are several.
std::string common_class(const graph::Model& model, const ModuleSet& modules);

/// As a rules file writes it: {class: moe.experts, layers: 3-60}
std::string flow_text(const Match& match);

}  // namespace ktx::placement
