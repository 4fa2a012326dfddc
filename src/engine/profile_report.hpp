// A step's spans added up by layer.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ktx/profile.hpp"

namespace ktx::engine {

/// What a lane did in a column, in seconds.
struct LaneTimes {
  double busy = 0;  // computes or copies
  int commands = 0;
  /// By span names, in the order of their begin.
  using Names = std::vector<std::pair<std::string, double>>;
  Names compute, copy, submit;
};

/// Layers that are alike: of one kind, and computed on the same lanes.
struct ProfileColumn {
  std::string name;
  int layers = 0;                // all times are of so many; 1 of what is no layer
  double seconds = 0, idle = 0;  // idle: no lane works
  std::vector<LaneTimes> lanes;
};

/// The time of a step is cut where the last product of a layer has been computed; columns are in
/// the order of their first layer, between "start" and "logits".
std::vector<ProfileColumn> profile_columns(const StepProfile& profile);

}  // namespace ktx::engine
