// The predicted timeline of a step: which device works on which module when.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "placement/plan.hpp"
#include "placement/prediction.hpp"

namespace ktx::placement {

/// A lane works on a module. In seconds after the begin of the step.
struct Span {
  size_t lane = 0;    // of Timeline::lanes
  size_t module = 0;  // of Plan::modules
  double begin = 0, seconds = 0;
};

struct Timeline {
  std::vector<std::string> lanes;  // "cpu", "cuda:0", "copies to cuda:0"; those that work
  std::vector<Span> spans;         // by their begin
  double seconds = 0;              // of the whole step; 0: not known, and no spans
};

/// step: of the plan; prefill: whether it is a slice of a prompt.
Timeline timeline_of(const Plan& plan, const StepTime& step, bool prefill);

}  // namespace ktx::placement
