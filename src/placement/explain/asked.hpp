// The rule that decided a module, and the keys of its place as text.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "placement/plan.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// A row for each keyword of a place, in the order of place_keywords().
struct PlaceKey {
  std::string_view name;
  /// Where the file gives its value ("file:line:column"); empty: it does not.
  std::string (*where)(const Place& place);
  /// The value that it gives; only where it does.
  std::string (*value)(const Place& place);
  /// The default; empty: none, or it depends on the module.
  std::string_view otherwise;
};

std::span<const PlaceKey> place_keys() noexcept;

/// The rule that decided a module.
const Rule& deciding_rule(const Rules& rules, const PlannedModule& planned);

}  // namespace ktx::placement
