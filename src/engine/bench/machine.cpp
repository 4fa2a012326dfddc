// measure_machine: the probes of core/hw as one public value.
#include <algorithm>

#include "core/hw/machine.hpp"
#include "core/hw/peak.hpp"
#include "ktx/bench.hpp"

namespace ktx {

const PeakSpeed* MachineSpeed::best_peak(std::string_view type) const noexcept {
  const PeakSpeed* best = nullptr;
  for (const auto& peak : peaks)
    if ((type.empty() || peak.type == type) &&
        (best == nullptr || peak.ops_per_second > best->ops_per_second))
      best = &peak;
  return best;
}

MachineSpeed measure_machine(int threads) {
  const auto machine = hw::detect_machine();
  MachineSpeed speed{.name = machine.name, .threads = threads > 0 ? threads : machine.core_count()};
  speed.read_bandwidth = hw::measure_read_bandwidth(speed.threads);
  for (const auto& peak : hw::measure_peaks(speed.threads))
    speed.peaks.push_back({.isa = std::string(hw::name(peak.isa)),
                           .type = std::string(peak.type),
                           .ops_per_second = peak.ops_per_second});
  return speed;
}

}  // namespace ktx
