// Which rule decides each module: the first that matches, in file order.
#pragma once

#include <string>
#include <vector>

#include "core/graph/graph.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// Whether all keys of the match hold for the module.
bool matches(const Match& match, const graph::Module& module);

/// Why it does not match, one reason a key that does not hold; empty: it matches.
std::vector<std::string> mismatch(const Match& match, const graph::Module& module);

/// [modules] the index of the rule that decides, -1 for modules that are not run.
/// Throws input error for a module that no rule matches, a rule that matches no module that is run,
/// and a rule whose modules are all taken by earlier ones.
std::vector<int> assign_rules(const Rules& rules, const graph::Model& model);

}  // namespace ktx::placement
