// Compute devices by name ("cpu", "cuda:0"), and the GPUs of this box.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/hw/machine.hpp"

namespace ktx::device {

enum class DeviceKind { cpu, cuda };

/// One device, as rules name it.
struct DeviceName {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;  // cuda: the number of the GPU; cpu: 0

  friend bool operator==(const DeviceName&, const DeviceName&) = default;
};

/// "cpu" or "cuda:0"; nothing when the text names no device.
std::optional<DeviceName> parse_device(std::string_view text) noexcept;
std::string to_string(DeviceName device);

/// The GPUs that the CUDA runtime sees, in its order: none without a driver, without a GPU, or when
/// ktx was built without CUDA. Never an error.
std::vector<hw::Gpu> detect_gpus();

}  // namespace ktx::device
