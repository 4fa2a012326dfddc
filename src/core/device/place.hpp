// A place: where memory lies and commands run.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ktx::device {

enum class DeviceKind { cpu, cuda };

/// A device as rules name it, and of the CPUs perhaps one NUMA node.
struct Place {
  static constexpr int every_node = -1;

  DeviceKind kind = DeviceKind::cpu;
  int index = 0;          // cuda: the number of the GPU; cpu: 0
  int node = every_node;  // cpu: index into Machine::nodes

  friend bool operator==(const Place&, const Place&) = default;
};

/// "cpu" or "cuda:0"; nothing when the text names no device.
std::optional<Place> parse_device(std::string_view text) noexcept;
/// "cpu", "cpu node 1" or "cuda:0".
std::string to_string(const Place& place);

}  // namespace ktx::device
