// Predictions.
#include "placement/prediction.hpp"

#include <algorithm>
#include <cmath>

#include "placement/values.hpp"
#include "placement/weights.hpp"

namespace ktx::placement {

namespace {

const hw::Gpu& gpu_of(const Plan& plan, const std::string& device) {
  return plan.machine.gpus.at(static_cast<size_t>(device_number(device)));
}

double seconds(double work, double rate) {
  return rate > 0 ? work / rate : 0;
}

double module_bytes(const graph::Module& module, const PlannedModule& planned) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < planned.weights.size(); ++i)
    bytes += packed_bytes(module.weights[i], planned.weights[i].format, planned.weights[i].layout);
  return static_cast<double>(bytes);
}

// The part of a module's experts that a GPU alone runs.
double resident_share(const graph::Module& module, const PlannedModule& planned) {
  if (planned.residents.experts.empty()) return 0;
  return static_cast<double>(planned.residents.experts.size()) /
         static_cast<double>(module.weights.front().count);
}

// A module whose weights all lie on one node is read at that node's bandwidth alone.
double cpu_bandwidth(const Plan& plan, const PlannedModule& planned) {
  const bool one_node = planned.numa.kind == NumaKind::node;
  return plan.machine.read_bandwidth /
         static_cast<double>(one_node ? plan.machine.nodes.size() : 1);
}

double decode_seconds(const Plan& plan, const PlannedModule& planned, double resident,
                      double bytes) {
  if (is_gpu(planned.device)) return seconds(bytes, gpu_of(plan, planned.device).read_bandwidth);
  const double cpu = seconds((1 - resident) * bytes, cpu_bandwidth(plan, planned));
  if (resident == 0) return cpu;
  return std::max(cpu,
                  seconds(resident * bytes, gpu_of(plan, planned.residents.device).read_bandwidth));
}

// Seconds for all experts of a module in a slice; 0: not known.
struct ExpertTimes {
  double on_cpu = 0, on_gpu = 0;
  double copied = 0;  // to the GPU
};

ExpertTimes expert_times(const Plan& plan, const PlannedModule& planned, double bytes,
                         double flops) {
  ExpertTimes times;
  const auto& machine = plan.machine;
  if (machine.read_bandwidth > 0 && machine.tensor_flops > 0)
    times.on_cpu = std::max(bytes / cpu_bandwidth(plan, planned), flops / machine.tensor_flops);
  const auto& device =
      is_gpu(planned.prefill_device) ? planned.prefill_device : planned.residents.device;
  if (!is_gpu(device)) return times;
  const auto& gpu = gpu_of(plan, device);
  if (gpu.tensor_flops > 0)
    times.on_gpu = std::max(seconds(bytes, gpu.read_bandwidth), flops / gpu.tensor_flops);
  times.copied = seconds(bytes, gpu.copy_bandwidth);
  return times;
}

// The part of the experts that are not resident with which both devices finish together. The GPU
// computes while it copies.
double share_to_stream(const ExpertTimes& times, double resident) {
  const double by_copying = times.on_cpu / (times.on_cpu + times.copied);
  const double rest = 1 - resident;
  const double by_computing =
      (rest * times.on_cpu - resident * times.on_gpu) / (rest * (times.on_cpu + times.on_gpu));
  return std::clamp(std::min(by_copying, by_computing), 0.0, 1.0);
}

// Seconds of a slice for a module's experts, 0: not known; sets what is to pass through the GPU.
double prefill_seconds(const Plan& plan, const graph::Module& module, double read_share,
                       PlannedModule& planned) {
  double weights = 0;
  for (const auto& weight : module.weights) weights += static_cast<double>(weight.weights());
  const double flops = 2 * weights * read_share * static_cast<double>(plan.prefill_chunk);
  const auto times = expert_times(plan, planned, module_bytes(module, planned), flops);
  if (is_gpu(planned.prefill_device) && !planned.stream) return times.on_gpu;
  const double resident = resident_share(module, planned);
  const bool known = times.on_cpu > 0 && (resident == 0 || times.on_gpu > 0);
  if (!known) return 0;
  if (planned.stream) {
    if (times.copied <= 0 || times.on_gpu <= 0) return 0;
    planned.stream_share = share_to_stream(times, resident);
  }
  return std::max((1 - resident) * (1 - planned.stream_share) * times.on_cpu,
                  resident * times.on_gpu);
}

}  // namespace

void predict(Plan& plan) {
  const auto share = read_share(plan);
  double decode = 0, prefill = 0;
  bool prefill_known = plan.model.info.experts > 0;
  for (auto& planned : plan.modules) {
    const auto index = static_cast<size_t>(planned.module);
    const auto& module = plan.model.modules[index];
    const double read = module_bytes(module, planned) * share[index];
    planned.bytes_per_token = static_cast<uint64_t>(std::llround(read));
    decode += decode_seconds(plan, planned, resident_share(module, planned), read);
    if (module.op != "moe") continue;
    const double time = prefill_seconds(plan, module, share[index], planned);
    prefill_known &= time > 0;
    prefill += time;
  }
  if (plan.machine.read_bandwidth > 0 && decode > 0) plan.predicted_decode = 1 / decode;
  if (prefill_known && prefill > 0)
    plan.predicted_prefill = static_cast<double>(plan.prefill_chunk) / prefill;
}

}  // namespace ktx::placement
