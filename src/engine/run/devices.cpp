// Queues and kits, one per place.
#include "engine/run/devices.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/text.hpp"

namespace ktx::engine {

std::vector<device::Place> places_of(const placement::Plan& plan) {
  std::vector<device::Place> places{device::Place{}};
  const auto add = [&](const std::string& name) {
    if (name.empty()) return;
    const auto place = device::parse_device(name);
    require(place.has_value(), "the plan names no device");
    if (std::ranges::find(places, *place) == places.end()) places.push_back(*place);
  };
  for (const auto& module : plan.modules) {
    add(module.device);
    add(module.prefill_device);
    add(module.residents.device);
  }
  std::sort(places.begin() + 1, places.end(),
            [](const auto& a, const auto& b) { return a.index < b.index; });
  return places;
}

Devices::Devices(std::vector<device::Place> places, hw::WorkerPool& pool)
    : places_(std::move(places)) {
  require(!places_.empty() && places_.front().kind == device::DeviceKind::cpu,
          "the CPU is the first place");
  for (const auto& place : places_) {
    queues_.push_back(device::make_queue(place, &pool));
    kits_.push_back(place.kind == device::DeviceKind::cuda ? make_cuda_kit(*queues_.back())
                                                           : nullptr);
  }
}

std::string Devices::streaming() const {
  std::vector<std::string> texts;
  for (size_t p = 0; p < places_.size(); ++p) {
    const double bandwidth = kits_[p] ? stream_bandwidth(*kits_[p]) : 0;
    if (bandwidth > 0)
      texts.push_back("experts are streamed to " + device::to_string(places_[p]) + " at " +
                      std::to_string(std::llround(bandwidth / 1e9)) + " GB/s");
  }
  return base::join(texts);
}

bool Devices::failed() const noexcept {
  return std::ranges::any_of(queues_, [](const auto& queue) { return queue->failed(); });
}

bool Devices::lost() const noexcept {
  return std::ranges::any_of(kits_, [](const auto& kit) { return kit && lost_handshake(*kit); });
}

void Devices::synchronize() const {
  for (const auto& queue : queues_) queue->synchronize();
}

void Devices::recover() const {
  synchronize();
  for (const auto& kit : kits_)
    if (kit) reset_handshake(*kit);
}

}  // namespace ktx::engine
