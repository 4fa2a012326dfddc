// Translates the arguments of a KTransformers rule to places of ktx.
#pragma once

#include <vector>

#include "core/graph/graph.hpp"
#include "placement/import/ktransformers_rules.hpp"
#include "placement/import/rules_text.hpp"
#include "placement/import/selection.hpp"

namespace ktx::placement {

/// Modules that one ktx rule can place.
struct PlacedPart {
  ModuleSet modules;
  WrittenPlace place, prefill;
};

struct InjectedPlaces {
  std::vector<PlacedPart> parts;
  std::vector<Remark> remarks;  // in the order of the file
};

/// modules: those that the rule decides; may be empty. Throws input error for no device.
InjectedPlaces places_of(const InjectionRule& rule, const graph::Model& model,
                         const ModuleSet& modules);

}  // namespace ktx::placement
