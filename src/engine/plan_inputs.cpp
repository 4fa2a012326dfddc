#include "engine/plan_inputs.hpp"

#include "core/base/printable.hpp"
#include "core/device/gpus.hpp"
#include "engine/load/weight_loader.hpp"
#include "engine/run/programs.hpp"

namespace ktx::engine {

hw::Machine this_machine() {
  auto machine = hw::detect_machine();
  machine.gpus = device::detect_gpus();
  return machine;
}

hw::Machine described_machine(const std::filesystem::path& file) {
  auto described = hw::read_machine(file);
  described.name = base::printable(described.name);
  for (auto& gpu : described.gpus) gpu.name = base::printable(gpu.name);
  auto machine = this_machine();
  if (!hw::is_same_machine(machine, described)) return described;
  hw::take_speeds(described, machine);
  return machine;
}

std::vector<placement::DeviceMemory> RunMemory::operator()(const placement::Plan& plan) {
  const auto [loading, is_new] = loading_.try_emplace(plan.threads);
  if (is_new) loading->second = loading_bytes(plan.model, source_, plan.threads);
  auto memory = step_memory(plan);
  memory.front().loading = loading->second;
  return memory;
}

}  // namespace ktx::engine
