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

/// Why a rule matches nothing although it names what there is: models of other kinds have it, this
/// one lacks it. Empty: it does match some, or it is a mistake.
std::string not_in_model(const Match& match, const graph::Model& model);

/// [modules] the index of the rule that decides, -1 for modules that are not run.
/// Throws input error for a module that no rule matches, a rule that matches no module that is run
/// (unless not_in_model() says why), and a rule whose modules are all taken by earlier ones.
std::vector<int> assign_rules(const Rules& rules, const graph::Model& model);

}  // namespace ktx::placement
