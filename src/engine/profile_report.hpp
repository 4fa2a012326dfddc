// Sums up a step's spans by layer.
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

/// Layers of the same kind that are computed on the same lanes.
struct ProfileColumn {
  std::string name;
  int layers = 0;                // number of layers that the times cover; 1 outside the layers
  double seconds = 0, idle = 0;  // idle: no lane works
  std::vector<LaneTimes> lanes;
};

/// Layers are delimited by the end of their last matrix product. Columns are in the order of their
/// first layer, between "start" and "logits".
std::vector<ProfileColumn> profile_columns(const StepProfile& profile);

}  // namespace ktx::engine
