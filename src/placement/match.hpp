// Which rule decides each module: the first that matches, in file order.
#pragma once

#include <string>
#include <vector>

#include "core/graph/graph.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// Whether all keys of the match hold for the module.
bool matches(const Match& match, const graph::Module& module);

/// Why it does not match, one reason per key that does not hold; empty: it matches.
std::vector<std::string> mismatch(const Match& match, const graph::Module& module);

/// For a rule that matches nothing because it names what only other kinds of models have: says so.
/// Empty: it matches something, or it is a mistake.
std::string not_in_model(const Match& match, const graph::Model& model);

/// [modules] the index of the deciding rule, -1 for modules that are not run.
/// Throws input error for a module that no rule matches, a rule that matches no module that is run
/// (unless not_in_model() says why), and a rule whose modules are all taken by earlier ones.
std::vector<int> assign_rules(const Rules& rules, const graph::Model& model);

}  // namespace ktx::placement
