// Predictions.
#include "placement/prediction.hpp"

#include <algorithm>
#include <cmath>

#include "ops/kernels.hpp"
#include "placement/values.hpp"
#include "placement/weights.hpp"

namespace ktx::placement {

namespace {

/// The CPU's expert workers and a GPU meet through flags: both ways, with the hidden state.
constexpr double handshake_seconds = 9.6e-6;

/// Experts that are on their way to a GPU at once. A streamed layer takes about as much longer than
/// its copies and products as these take to arrive.
constexpr double experts_on_their_way = 16;

/// Up to so many, kernels of few rows multiply by weights as they read them.
constexpr double few_rows = 8;

/// Of the bandwidth of several nodes together: where each reads its own memory, from KTransformers'
/// published 8.73 tokens/s on one socket and 12.2 on two; where half of it is on another one, as
/// links between sockets have it.
constexpr double own_nodes_share = 0.82, interleaved_share = 0.6;

/// Where a module runs in a phase, but for experts that only pass through a GPU.
const std::string& device_of(const PlannedModule& planned, bool prefill) {
  return prefill && !planned.stream ? planned.prefill_device : planned.device;
}

/// What a device does a second; 0: not known.
struct Speed {
  double read = 0;     // bytes
  double flops = 0;    // with a matrix's weights, many rows
  double threads = 0;  // of a CPU, that decode weights; 0: as many as it takes
};

struct Work {
  double bytes = 0, flops = 0;
  double rows = 1;   // that share a matrix
  double waits = 0;  // seconds that decoding takes longer than reading, for few rows
};

/// How fast an ISA multiplies, in multiples of AVX2, about.
double isa_speed(hw::Isa isa) {
  switch (isa) {
    case hw::Isa::scalar:
      return 0.1;
    case hw::Isa::avx2:
      return 1;
    case hw::Isa::avx512:
      return 2;
    case hw::Isa::avx512_vnni:
    case hw::Isa::avx512_vbmi:
    case hw::Isa::avx512_bf16:
      return 4;
    case hw::Isa::amx_bf16:
      return 15;
    case hw::Isa::amx_int8:
      return 25;
  }
  return 1;
}

/// Of the machine's CPUs. A module whose weights all lie on one node is read at that node's
/// bandwidth alone; tensor_flops is what the machine's best instructions do.
Speed cpu_speed(const Plan& plan, const PlannedModule& planned, const ops::KernelRow* kernel,
                bool copying = false) {
  const auto& machine = plan.machine;
  const double nodes =
      machine.nodes.size() > 1 && planned.numa.kind != NumaKind::node
          ? (planned.numa.kind == NumaKind::interleave ? interleaved_share : own_nodes_share)
          : 1;
  const double parts = planned.numa.kind == NumaKind::node ? double(machine.nodes.size()) : 1;
  const double read = copying && machine.read_while_copying > 0 ? machine.read_while_copying
                                                                : machine.read_bandwidth;
  const double isa =
      kernel == nullptr ? 1 : std::min(1.0, isa_speed(kernel->isa) / isa_speed(machine.isa));
  return {nodes * read / parts, machine.tensor_flops * isa / parts,
          static_cast<double>(plan.threads) / parts};
}

Speed gpu_speed(const Plan& plan, const std::string& device) {
  const auto& gpu = plan.gpu(device);
  return {gpu.read_bandwidth, gpu.tensor_flops};
}

ops::Efficiency efficiency_of(const ops::KernelRow* kernel) {
  return kernel == nullptr ? ops::Efficiency{} : kernel->efficiency;
}

double seconds(const ops::Efficiency& kernel, const Speed& speed, const Work& work) {
  const bool few = work.rows <= few_rows;
  const double reading =
      (speed.read > 0 ? work.bytes / (kernel.read * speed.read) : 0) + (few ? work.waits : 0);
  const double decoding = few ? 0 : kernel.half_rows / work.rows;
  const double computing =
      speed.flops > 0 ? work.flops * (1 + decoding) / (kernel.compute * speed.flops) : 0;
  return kernel.call + std::max(reading, computing);
}

double bytes_of(const graph::Module& module, const std::vector<PlannedWeight>& weights) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < weights.size(); ++i)
    bytes += packed_bytes(module.weights[i], weights[i].format, weights[i].layout);
  return static_cast<double>(bytes);
}

/// Of a module's weights, each read once: see Work::waits.
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

double numbers_of(const graph::Module& module) {
  double numbers = 0;
  for (const auto& weight : module.weights) numbers += static_cast<double>(weight.weights());
  return numbers;
}

/// One step of one plan.
class Predictor {
 public:
  Predictor(const Plan& plan, const StepShape& shape) : plan_(plan), shape_(shape) {
    node_of_.resize(plan.model.modules.size());
    for (const auto& node : plan.model.graph.nodes)
      if (node.module >= 0) node_of_[static_cast<size_t>(node.module)] = &node;
    router_device_.resize(static_cast<size_t>(plan.model.info.layers));
    for (const auto& planned : plan.modules)
      if (const auto& module = module_of(planned); module.op == "router")
        router_device_[static_cast<size_t>(module.layer)] = &planned.device;
  }

  StepTime run() {
    StepTime step;
    for (const auto& planned : plan_.modules) step.modules.push_back(time_of(planned));
    const double seconds = schedule(step.modules);
    step.seconds = known_ ? seconds : 0;
    return step;
  }

  /// The part of a module's experts that passes through a GPU.
  double stream_share(const PlannedModule& planned) {
    return routed(planned, module_of(planned)).streamed;
  }

 private:
  const graph::Module& module_of(const PlannedModule& planned) const {
    return plan_.module_of(planned);
  }
  const std::string& device_of(const PlannedModule& planned) const {
    return placement::device_of(planned, shape_.prefill);
  }
  const ops::KernelRow* kernel_of(const PlannedModule& planned) const {
    const auto op = graph::find_op(module_of(planned).op);
    return op ? ops::find_kernel(*op, (shape_.prefill ? planned.prefill : planned.decode).name)
              : nullptr;
  }
  static const ops::KernelRow* gpu_kernel(graph::Op op) { return ops::find_kernel(op, "cuda"); }

  ModuleTime time_of(const PlannedModule& planned) {
    const auto& module = module_of(planned);
    if (module.op == "moe") return routed(planned, module).time;
    const bool on_gpu = is_gpu(device_of(planned));
    const auto* kernel = kernel_of(planned);
    const Speed speed =
        on_gpu ? gpu_speed(plan_, device_of(planned)) : cpu_speed(plan_, planned, kernel);
    need(speed);
    Work work = work_of(planned, module);
    if (module.op == "linear")
      work.waits = waits_of(module, weights_of(planned), efficiency_of(kernel), speed);
    ModuleTime time;
    (on_gpu ? time.gpu : time.cpu) = time.seconds = seconds(efficiency_of(kernel), speed, work);
    return time;
  }

  /// Of prompts, and of all that reads from the CPU's memory.
  void need(const Speed& speed) {
    if (shape_.prefill && speed.flops <= 0) known_ = false;
  }

  const std::vector<PlannedWeight>& weights_of(const PlannedModule& planned) const {
    return shape_.prefill && !planned.prefill_weights.empty() ? planned.prefill_weights
                                                              : planned.weights;
  }

  Work work_of(const PlannedModule& planned, const graph::Module& module) const {
    const auto rows = static_cast<double>(shape_.rows);
    Work work{.bytes = bytes_of(module, weights_of(planned)),
              .flops = 2 * numbers_of(module) * rows,
              .rows = rows};
    const auto* node = node_of_[static_cast<size_t>(planned.module)];
    if (module.op == "embedding") {
      work.bytes *= rows / static_cast<double>(module.weights.front().rows);
      work.flops = 0;
    } else if (module.has_class("head")) {
      work.flops /= rows;  // the last row alone
      work.rows = 1;
    } else if (node != nullptr) {
      if (const auto* mla = std::get_if<graph::MlaParams>(&node->params)) add_mla(*mla, work);
      if (const auto* gqa = std::get_if<graph::GqaParams>(&node->params)) add_gqa(*gqa, work);
    }
    return work;
  }

  /// Keys that a row attends to, on average.
  double keys(double window) const {
    const double mean =
        static_cast<double>(shape_.past) + (static_cast<double>(shape_.rows) + 1) / 2;
    return window > 0 ? std::min(window, mean) : mean;
  }

  double cache_bytes(int cache) const {
    return static_cast<double>(shape_.past + shape_.rows) *
           static_cast<double>(graph::row_bytes(
               plan_.cache_format, plan_.model.info.caches[static_cast<size_t>(cache)]));
  }

  // The heads' products with kv_b are counted already: absorbed into q and the sums, or, if that is
  // less, of all keys.
  void add_mla(const graph::MlaParams& mla, Work& work) const {
    const double rows = static_cast<double>(shape_.rows), heads = mla.heads;
    const double all = static_cast<double>(shape_.past + shape_.rows);
    const double absorbed = work.flops + 2 * heads * keys(0) * (2 * mla.kv_lora + mla.rope) * rows;
    const double expanded =
        work.flops / rows * all + 2 * heads * keys(0) * (mla.nope + mla.rope + mla.v) * rows;
    work.flops = std::min(absorbed, expanded);
    work.bytes += cache_bytes(mla.cache);
  }

  void add_gqa(const graph::GqaParams& gqa, Work& work) const {
    work.flops += 4.0 * gqa.heads * keys(gqa.window) * gqa.head * static_cast<double>(shape_.rows);
    work.bytes += cache_bytes(gqa.cache);
  }

  // ---- routed experts ----

  struct Routed {
    ModuleTime time;
    double streamed = 0;  // the part of those not resident that passes through a GPU
  };

  double used_part(const graph::Module& module) const {  // by one row
    return plan_.experts_per_token[static_cast<size_t>(module.layer)] /
           static_cast<double>(module.weights.front().count);
  }
  /// The part of the experts that all rows together read.
  double read_part(const graph::Module& module) const {
    return 1 - std::pow(1 - used_part(module), static_cast<double>(shape_.rows));
  }

  /// Of all experts; a part of them takes that part of it.
  Work work_of_experts(const PlannedModule& planned, const graph::Module& module) const {
    const auto rows = static_cast<double>(shape_.rows);
    const double used = used_part(module), read = read_part(module);
    return {.bytes = bytes_of(module, weights_of(planned)) * read,
            .flops = 2 * numbers_of(module) * used * rows,
            .rows = rows * used / read};
  }

  Routed routed(const PlannedModule& planned, const graph::Module& module) {
    Work work = work_of_experts(planned, module);
    const double resident =
        planned.residents.experts.empty()
            ? 0
            : double(planned.residents.experts.size()) / double(module.weights.front().count);
    const bool streams = shape_.prefill && planned.stream;
    const auto gpu = gpu_of(planned, shape_.prefill);
    const auto* kernel = kernel_of(planned);
    const auto part = [](double share, double time) { return share > 0 ? share * time : 0; };
    Routed out;
    double on_gpu = 0;
    if (!gpu.empty()) {
      const Speed speed = gpu_speed(plan_, gpu);
      need(speed);
      on_gpu = seconds(gpu_kernel(graph::Op::moe)->efficiency, speed, work);
    }
    if (is_gpu(device_of(planned))) {
      out.time.gpu = out.time.seconds = on_gpu;
      return out;
    }
    const Speed speed = cpu_speed(plan_, planned, kernel, streams);
    need(speed);
    if (speed.read <= 0) known_ = false;
    work.waits =
        waits_of(module, weights_of(planned), efficiency_of(kernel), speed) * read_part(module);
    const double on_cpu = seconds(efficiency_of(kernel), speed, work);
    double arrival = 0;
    if (streams) {
      const double reads = std::min(1.0, work.bytes / speed.read / on_cpu);
      const double copied = copy_seconds(gpu, work.bytes, reads);
      out.streamed = copied > 0 ? share_to_stream(on_cpu, on_gpu, copied, resident) : 0;
      out.time.copied = (1 - resident) * out.streamed * copied;
      const double used = read_part(module) * static_cast<double>(module.weights.front().count);
      arrival = out.streamed > 0 ? copied * std::min(1.0, experts_on_their_way / used) : 0;
    }
    const double through_gpu = resident + (1 - resident) * out.streamed;
    out.time.cpu = part(1 - through_gpu, on_cpu);
    out.time.gpu = part(through_gpu, on_gpu);
    out.time.seconds = shape_.rows == 1 && resident > 0
                           ? slower_of_one_row(planned, module, on_cpu, on_gpu)
                           : std::max({out.time.cpu, out.time.gpu, out.time.copied}) + arrival;
    if (router_on_gpu(module.layer)) out.time.seconds += crossing_seconds(module.layer);
    return out;
  }

  /// Of one row's experts now more, now fewer are residents: the mean of what the slower device
  /// takes, if any are chosen equally often.
  double slower_of_one_row(const PlannedModule& planned, const graph::Module& module, double on_cpu,
                           double on_gpu) const {
    const auto all = static_cast<int>(module.weights.front().count);
    const int used = plan_.experts_per_token[static_cast<size_t>(module.layer)];
    const auto residents = static_cast<int>(planned.residents.experts.size());
    const auto log_choices = [](int n, int k) {
      return std::lgamma(n + 1.0) - std::lgamma(k + 1.0) - std::lgamma(n - k + 1.0);
    };
    double mean = 0;
    for (int k = std::max(0, used - (all - residents)); k <= std::min(used, residents); ++k) {
      const double chance =
          std::exp(log_choices(residents, k) + log_choices(all - residents, used - k) -
                   log_choices(all, used));
      mean += chance * std::max(on_cpu * (used - k) / used, on_gpu * k / used);
    }
    return mean;
  }

  // reads: the part of the time in which the CPU reads at its full rate meanwhile.
  double copy_seconds(const std::string& device, double bytes, double reads) {
    const auto& gpu = plan_.gpu(device);
    const double slow = gpu.copy_while_reading > 0 ? gpu.copy_while_reading : gpu.copy_bandwidth;
    const double rate = reads * slow + (1 - reads) * gpu.copy_bandwidth;
    if (rate <= 0) known_ = false;
    return rate > 0 ? bytes / rate : 0;
  }

  // The part of the experts that are not resident with which both devices finish together. The GPU
  // computes while it copies.
  static double share_to_stream(double on_cpu, double on_gpu, double copied, double resident) {
    const double by_copying = on_cpu / (on_cpu + copied);
    const double rest = 1 - resident;
    const double by_computing =
        on_gpu > 0 ? (rest * on_cpu - resident * on_gpu) / (rest * (on_cpu + on_gpu)) : 1;
    return std::clamp(std::min(by_copying, by_computing), 0.0, 1.0);
  }

  bool router_on_gpu(int layer) const {
    const auto* device = router_device_[static_cast<size_t>(layer)];
    return device != nullptr && is_gpu(*device);
  }

  // The hidden state to the CPU and the sum back.
  double crossing_seconds(int layer) const {
    const double rate = plan_.gpu(*router_device_[static_cast<size_t>(layer)]).copy_bandwidth;
    const double bytes = 2.0 * sizeof(float) * static_cast<double>(shape_.rows) *
                         static_cast<double>(plan_.model.info.hidden);
    return handshake_seconds + (rate > 0 ? bytes / rate : 0);
  }

  // ---- the step ----

  bool run_beside_a_gpu(const PlannedModule& planned, const graph::Module& module) const {
    return module.op == "moe" && !is_gpu(device_of(planned)) && router_on_gpu(module.layer);
  }

  /// When each module begins; to the end of the step. Experts on the CPU run beside shared ones on
  /// a GPU, where residents come after these.
  double schedule(std::vector<ModuleTime>& times) const {
    double now = 0;
    ModuleTime* experts = nullptr;  // of this layer, on the CPU beside a GPU
    const auto join = [&] {
      if (experts == nullptr) return;
      experts->gpu_begin = now;
      now = std::max(now + experts->gpu, experts->begin + experts->seconds);
      experts = nullptr;
    };
    int layer = -1;
    for (size_t i = 0; i < times.size(); ++i) {
      const auto& module = module_of(plan_.modules[i]);
      const bool beside = run_beside_a_gpu(plan_.modules[i], module);
      if (!(beside || module.has_class("mlp.shared")) || module.layer != layer) join();
      layer = module.layer;
      times[i].begin = times[i].gpu_begin = now;
      if (beside)
        experts = &times[i];
      else
        now += times[i].seconds;
    }
    join();
    return now;
  }

  const Plan& plan_;
  StepShape shape_;
  std::vector<const graph::Node*> node_of_;        // by module
  std::vector<const std::string*> router_device_;  // by layer; null: it has no router
  bool known_ = true;
};

}  // namespace

std::string gpu_of(const PlannedModule& planned, bool prefill) {
  const auto& device = device_of(planned, prefill);
  if (is_gpu(device)) return device;
  if (prefill && planned.stream) return planned.prefill_device;
  return planned.residents.experts.empty() ? "" : planned.residents.device;
}

StepTime step_time(const Plan& plan, const StepShape& shape) {
  return Predictor(plan, shape).run();
}

StepTime decode_step(const Plan& plan) {
  auto step = step_time(plan, {.past = plan.predicted_depth});
  if (plan.machine.read_bandwidth <= 0) step.seconds = 0;
  return step;
}

StepTime prefill_step(const Plan& plan) {
  return step_time(plan, {.rows = plan.prefill_chunk, .prefill = true});
}

double decode_rate(const Plan& plan, int64_t past) {
  if (plan.machine.read_bandwidth <= 0) return 0;
  const double seconds = step_time(plan, {.past = past}).seconds;
  return seconds > 0 ? 1 / seconds : 0;
}

double prefill_rate(const Plan& plan, int64_t tokens) {
  double total = 0;
  for (int64_t past = 0; past < tokens; past += plan.prefill_chunk) {
    const int64_t rows = std::min(plan.prefill_chunk, tokens - past);
    const double seconds = step_time(plan, {.rows = rows, .past = past, .prefill = true}).seconds;
    if (seconds <= 0) return 0;
    total += seconds;
  }
  return total > 0 ? static_cast<double>(tokens) / total : 0;
}

void predict(Plan& plan) {
  const auto share = read_share(plan);
  Predictor slice(plan, {.rows = plan.prefill_chunk, .prefill = true});
  for (auto& planned : plan.modules) {
    const auto index = static_cast<size_t>(planned.module);
    const auto& module = plan.model.modules[index];
    planned.bytes_per_token =
        static_cast<uint64_t>(std::llround(bytes_of(module, planned.weights) * share[index]));
    if (planned.stream) planned.stream_share = slice.stream_share(planned);
  }
  plan.predicted_depth = std::min<int64_t>(1024, plan.cache_length - 1);
  plan.predicted_decode = decode_rate(plan, plan.predicted_depth);
  for (const int64_t tokens : {512, 2048, 8192})
    if (tokens <= plan.cache_length)
      if (const double rate = prefill_rate(plan, tokens); rate > 0)
        plan.predicted_prefill.push_back({tokens, rate});
}

}  // namespace ktx::placement
