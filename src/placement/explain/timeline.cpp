// The predicted course of a step.
#include "placement/explain/timeline.hpp"

#include <algorithm>

namespace ktx::placement {

namespace {

// Every lane that the plan's devices could have, in the order of the picture.
std::vector<std::string> possible_lanes(const Plan& plan) {
  std::vector<std::string> lanes;
  for (const auto& memory : plan.devices) lanes.push_back(memory.device);
  for (const auto& memory : plan.devices) lanes.push_back("copies to " + memory.device);
  return lanes;
}

// The lanes that have work, renumbered.
void drop_idle_lanes(Timeline& timeline) {
  std::vector<std::string> lanes;
  std::vector<size_t> number(timeline.lanes.size());
  for (size_t lane = 0; lane < timeline.lanes.size(); ++lane) {
    number[lane] = lanes.size();
    if (std::ranges::find(timeline.spans, lane, &Span::lane) != timeline.spans.end())
      lanes.push_back(timeline.lanes[lane]);
  }
  for (auto& span : timeline.spans) span.lane = number[span.lane];
  timeline.lanes = std::move(lanes);
}

}  // namespace

Timeline timeline_of(const Plan& plan, const StepTime& step, bool prefill) {
  Timeline timeline{.lanes = possible_lanes(plan), .seconds = step.seconds};
  if (step.seconds <= 0) return {};
  const auto add = [&](const std::string& lane, size_t module, double begin, double seconds) {
    if (seconds <= 0) return;
    const auto found = std::ranges::find(timeline.lanes, lane);
    timeline.spans.push_back(
        {static_cast<size_t>(found - timeline.lanes.begin()), module, begin, seconds});
  };
  for (size_t i = 0; i < step.modules.size(); ++i) {
    const auto gpu = gpu_of(plan.modules[i], prefill);
    const auto& time = step.modules[i];
    add("cpu", i, time.begin, time.cpu);
    add(gpu, i, time.gpu_begin, time.gpu);
    add("copies to " + gpu, i, time.begin, time.copied);
  }
  std::ranges::stable_sort(timeline.spans, {}, &Span::begin);
  drop_idle_lanes(timeline);
  return timeline;
}

}  // namespace ktx::placement
