// A place: where memory is and where commands run.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ktx::device {

enum class DeviceKind { cpu, cuda };

/// A device as in rules files; for the CPU, optionally one NUMA node.
struct Place {
  static constexpr int every_node = -1;

  DeviceKind kind = DeviceKind::cpu;
  int index = 0;          // cuda: number of the GPU; cpu: 0
  int node = every_node;  // cpu: index into Machine::nodes

  friend bool operator==(const Place&, const Place&) = default;
};

/// From "cpu" or "cuda:0"; nothing when the text is not a device.
std::optional<Place> parse_device(std::string_view text) noexcept;
/// "cpu", "cpu node 1" or "cuda:0".
std::string to_string(const Place& place);

}  // namespace ktx::device
