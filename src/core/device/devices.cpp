// Device names, and the GPUs through the CUDA runtime.
#include "core/device/devices.hpp"

#include <array>
#include <charconv>

#ifdef KTX_HAVE_CUDA
#include <cuda_runtime_api.h>
#endif

namespace ktx::device {

namespace {

struct KindInfo {
  DeviceKind kind;
  std::string_view name;
  bool numbered;  // written with ":index"
};
constexpr std::array<KindInfo, 2> kinds{
    {{DeviceKind::cpu, "cpu", false}, {DeviceKind::cuda, "cuda", true}}};

// One or more digits without sign, at most 9999: more is a mistake.
std::optional<int> parse_index(std::string_view text) noexcept {
  int index = 0;
  const char* end = text.data() + text.size();
  if (text.empty() || text.size() > 4 || text.front() == '-') return std::nullopt;
  const auto [stop, error] = std::from_chars(text.data(), end, index);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return index;
}

}  // namespace

std::optional<DeviceName> parse_device(std::string_view text) noexcept {
  const size_t colon = text.find(':');
  for (const auto& kind : kinds) {
    if (text.substr(0, colon) != kind.name || kind.numbered != (colon != std::string_view::npos))
      continue;
    if (!kind.numbered) return DeviceName{kind.kind, 0};
    if (const auto index = parse_index(text.substr(colon + 1)))
      return DeviceName{kind.kind, *index};
  }
  return std::nullopt;
}

std::string to_string(DeviceName device) {
  for (const auto& kind : kinds)
    if (kind.kind == device.kind)
      return std::string(kind.name) + (kind.numbered ? ":" + std::to_string(device.index) : "");
  return {};
}

#ifdef KTX_HAVE_CUDA
std::vector<hw::Gpu> detect_gpus() {
  std::vector<hw::Gpu> gpus;
  int count = 0;
  const bool works = cudaGetDeviceCount(&count) == cudaSuccess;
  for (int i = 0; works && i < count; ++i) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) break;
    gpus.push_back({properties.name, properties.totalGlobalMem});
  }
  cudaGetLastError();  // a missing driver must not fail the next call
  return gpus;
}
#else
std::vector<hw::Gpu> detect_gpus() {
  return {};
}
#endif

}  // namespace ktx::device
