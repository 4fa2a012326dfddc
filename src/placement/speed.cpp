// Speeds of a machine's devices.
#include "placement/speed.hpp"

#include <algorithm>

#include "placement/weights.hpp"

namespace ktx::placement {

namespace {

/// Fraction of the bandwidth of several nodes that is reached: if each reads its own memory,
/// derived from KTransformers' published 8.73 tokens/s on one socket and 12.2 on two; if half of
/// the memory is on another node, typical of links between sockets.
constexpr double own_nodes_share = 0.82, interleaved_share = 0.6;

/// A lower bound of what one core reads, unless all cores share a slower memory; on Sapphire Rapids
/// 13 to 16 GB/s.
constexpr double core_read = 13e9;

double speed_of(hw::Isa isa) {
  return hw::isas()[static_cast<size_t>(isa)].speed;
}

}  // namespace

Speed cpu_speed(const Plan& plan, const PlannedModule& planned, const CpuUse& use) {
  const auto& machine = plan.machine;
  const double nodes =
      machine.nodes.size() > 1 && planned.numa.kind != NumaKind::node
          ? (planned.numa.kind == NumaKind::interleave ? interleaved_share : own_nodes_share)
          : 1;
  const double parts = planned.numa.kind == NumaKind::node ? double(machine.nodes.size()) : 1;
  const double all =
      nodes * (use.copying && machine.read_while_copying > 0 ? machine.read_while_copying
                                                             : machine.read_bandwidth);
  const double threads = use.threads, cores = std::min(1.0, threads / machine.core_count());
  const double isa =
      use.kernel == nullptr ? 1 : std::min(1.0, speed_of(use.kernel->isa) / speed_of(machine.isa));
  return {std::min(all, std::max(cores * all, threads * core_read)) / parts,
          cores * machine.tensor_flops * isa / parts, threads / parts};
}

Speed gpu_speed(const Plan& plan, const std::string& device) {
  const auto& gpu = plan.gpu(device);
  return {gpu.read_bandwidth, gpu.tensor_flops};
}

const ops::Efficiency& efficiency_of(const ops::KernelRow* kernel) {
  static constexpr ops::Efficiency usual;
  return kernel == nullptr ? usual : kernel->efficiency;
}

double seconds(const ops::Efficiency& kernel, const Speed& speed, const Work& work) {
  const double reading =
      (speed.read > 0 ? work.bytes / (kernel.read * speed.read) : 0) + work.waits;
  const double operations = work.flops + kernel.half_rows * work.decoded;
  const double computing = speed.flops > 0 ? operations / (kernel.compute * speed.flops) : 0;
  return kernel.call + std::max(reading, computing);
}

double bytes_of(const graph::Module& module, const std::vector<PlannedWeight>& weights) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < weights.size(); ++i)
    bytes += packed_bytes(module.weights[i], weights[i].format, weights[i].layout);
  return static_cast<double>(bytes);
}

double numbers_of(const graph::Module& module) {
  double numbers = 0;
  for (const auto& weight : module.weights) numbers += static_cast<double>(weight.weights());
  return numbers;
}

double waits_of(const graph::Module& module, const std::vector<PlannedWeight>& weights,
                const ops::Efficiency& kernel, const Speed& speed) {
  if (speed.threads <= 0 || speed.read <= 0) return 0;
  double seconds = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto rate =
        std::ranges::find(kernel.decoding, weights[i].format, &ops::DecodingRate::format);
    if (rate == kernel.decoding.end()) continue;
    const auto& weight = module.weights[i];
    const double decoding = static_cast<double>(weight.weights()) / (rate->weights * speed.threads);
    const auto bytes =
        static_cast<double>(packed_bytes(weight, weights[i].format, weights[i].layout));
    seconds += std::max(0.0, decoding - bytes / (kernel.read * speed.read));
  }
  return seconds;
}

}  // namespace ktx::placement
