// Predictions.
#include "placement/prediction.hpp"
#include "ops/linear/linear.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "placement/expert_load.hpp"
#include "placement/speed.hpp"
#include "placement/values.hpp"
#include "placement/weights.hpp"

namespace ktx::placement {

namespace {

/// Handshake of the CPU's expert workers with a GPU: there and back, with the hidden state.
constexpr double handshake_seconds = 9.6e-6;

/// Synchronization of two GPUs, by an event each way, around a copy of the hidden state: about what
/// CUDA takes for the events and to begin the copy.
constexpr double hop_seconds = 10e-6;

/// Experts being copied to a GPU at the same time. A streamed layer takes about as much longer than
/// its copies or products as these take to arrive.
constexpr double experts_on_their_way = 16;

/// The device of a module in a phase, not counting a GPU that experts are only streamed to.
const std::string& device_of(const PlannedModule& planned, bool prefill) {
  return prefill && !planned.stream ? planned.prefill_device : planned.device;
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

  /// The fraction of a module's experts that is streamed through a GPU.
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
  int threads() const {  // if still to be measured: as if all were fastest
    return shape_.prefill || plan_.decode_threads == 0 ? plan_.threads : plan_.decode_threads;
  }
  static const ops::KernelRow* gpu_kernel(graph::Op op) { return ops::find_kernel(op, "cuda"); }

  ModuleTime time_of(const PlannedModule& planned) {
    const auto& module = module_of(planned);
    if (module.op == "moe") return routed(planned, module).time;
    const bool on_gpu = is_gpu(device_of(planned));
    const auto* kernel = kernel_of(planned);
    const Speed speed = on_gpu
                            ? gpu_speed(plan_, device_of(planned))
                            : cpu_speed(plan_, planned, {.threads = threads(), .kernel = kernel});
    need(speed);
    Work work = work_of(planned, module);
    if (module.op == "linear" && work.decoded == 0)
      work.waits = waits_of(module, weights_of(planned), efficiency_of(kernel), speed);
    ModuleTime time;
    (on_gpu ? time.gpu : time.cpu) = time.seconds = seconds(efficiency_of(kernel), speed, work);
    return time;
  }

  /// Prompts can be predicted only if the device's arithmetic speed is known.
  void need(const Speed& speed) {
    if (shape_.prefill && speed.flops <= 0) known_ = false;
  }

  const std::vector<PlannedWeight>& weights_of(const PlannedModule& planned) const {
    return shape_.prefill && !planned.prefill_weights.empty() ? planned.prefill_weights
                                                              : planned.weights;
  }

  Work work_of(const PlannedModule& planned, const graph::Module& module) const {
    const int64_t rows = module.has_class("head") ? 1 : shape_.rows;  // the last row alone
    const double of_one = 2 * numbers_of(module);
    Work work{.bytes = bytes_of(module, weights_of(planned)),
              .flops = of_one * static_cast<double>(rows),
              .decoded = rows > ops::decode_tokens ? of_one : 0};
    const auto* node = node_of_[static_cast<size_t>(planned.module)];
    if (module.op == "embedding") {
      work.bytes *= static_cast<double>(rows) / static_cast<double>(module.weights.front().rows);
      work.flops = work.decoded = 0;
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

  // Products of the heads with kv_b are counted already: absorbed into the queries and outputs, or
  // expanded for all keys, if that is less work.
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
    double streamed = 0;  // fraction of the non-resident ones that is streamed through a GPU
  };

  int used_experts(const graph::Module& module) const {  // by one row
    return plan_.experts_per_token[static_cast<size_t>(module.layer)];
  }

  const ExpertLoad& load_of(const graph::Module& module, int64_t tile) {
    const int used = used_experts(module);
    auto found = loads_.find({used, tile});
    if (found == loads_.end()) {
      const double chance = used / static_cast<double>(module.weights.front().count);
      const ExpertLoad load({shape_.rows, chance, ops::decode_tokens, tile});
      found = loads_.emplace(std::pair(used, tile), load).first;
    }
    return found->second;
  }

  /// A layer's experts on the CPU.
  struct CpuExperts {
    const ops::Efficiency& kernel;
    const ExpertLoad& load;
    Speed speed;
    double bytes, numbers, waits;  // of all experts

    /// Seconds for a `part` of them, counting only the fraction `fewest` that has the fewest
    /// tokens.
    double seconds(double part, double fewest = 1) const {
      const auto sums = load.fewest(fewest);
      const Work work{.bytes = sums.used * bytes,
                      .flops = sums.rows * 2 * numbers,
                      .decoded = (sums.used - sums.few) * 2 * numbers,
                      .waits = sums.few * waits};
      return sums.used > 0 ? part * placement::seconds(kernel, speed, work) : 0;
    }
  };

  CpuExperts on_cpu(const PlannedModule& planned, const graph::Module& module, bool copying) {
    const auto* kernel = kernel_of(planned);
    const auto& efficiency = efficiency_of(kernel);
    const auto& weights = weights_of(planned);
    const Speed speed =
        cpu_speed(plan_, planned, {.threads = threads(), .kernel = kernel, .copying = copying});
    need(speed);
    if (speed.read <= 0) known_ = false;
    return {efficiency,
            load_of(module, efficiency.tile),
            speed,
            bytes_of(module, weights),
            numbers_of(module),
            waits_of(module, weights, efficiency, speed)};
  }

  /// All of a layer's experts on a GPU.
  double on_gpu(const std::string& device, const PlannedModule& planned,
                const graph::Module& module) {
    if (device.empty()) return 0;
    const Speed speed = gpu_speed(plan_, device);
    need(speed);
    const auto sums = load_of(module, 1).all();
    return seconds(gpu_kernel(graph::Op::moe)->efficiency, speed,
                   {.bytes = sums.used * bytes_of(module, weights_of(planned)),
                    .flops = sums.rows * 2 * numbers_of(module),
                    .decoded = (sums.used - sums.few) * 2 * numbers_of(module)});
  }

  Routed routed(const PlannedModule& planned, const graph::Module& module) {
    const auto gpu = gpu_of(planned, shape_.prefill);
    const double by_gpu = on_gpu(gpu, planned, module);
    Routed out;
    if (is_gpu(device_of(planned))) {
      out.time.gpu = out.time.seconds = by_gpu;
      return out;
    }
    const auto experts = static_cast<double>(module.weights.front().count);
    const auto residents = static_cast<int>(planned.residents.experts.size());
    const double resident = residents / experts;
    const auto cpu = on_cpu(planned, module, false);
    const bool defers = !shape_.prefill && planned.deferred > 0;
    const double deferred = defers && router_on_gpu(module.layer)
                                ? planned.deferred / static_cast<double>(used_experts(module))
                                : 0;  // that run beside a GPU
    if (shape_.rows == 1 && residents > 0)
      out.time.seconds = slower_of_one_token(static_cast<int>(experts), used_experts(module),
                                             residents, (1 - deferred) * cpu.seconds(1), by_gpu);
    out.time.cpu = cpu.seconds(1 - resident);
    out.time.gpu = resident * by_gpu;
    if (defers) {  // deferred experts run in a separate call
      const double call = cpu.kernel.call;
      if (deferred > 0) out.time.deferred = call + deferred * (out.time.cpu - call);
      out.time.cpu += call;
    }
    out.time.seconds = std::max({out.time.seconds, out.time.cpu - out.time.deferred, out.time.gpu});
    if (shape_.prefill && planned.stream) stream(planned, module, {gpu, by_gpu, resident}, out);
    if (router_on_gpu(module.layer)) out.time.seconds += crossing_seconds(module.layer);
    return out;
  }

  struct Streaming {
    const std::string& gpu;
    double by_gpu, resident;  // seconds if all experts were there; the fraction that is resident
  };

  /// Streams the experts with the most tokens through the GPU, as many as let both sides finish at
  /// the same time, or none if that is no faster. The GPU computes while it copies.
  void stream(const PlannedModule& planned, const graph::Module& module, const Streaming& with,
              Routed& out) {
    const auto cpu = on_cpu(planned, module, true);
    const double used = cpu.load.all().used, bytes = used * cpu.bytes, rest = 1 - with.resident;
    const double reads = std::min(1.0, bytes / cpu.speed.read / cpu.seconds(1));
    const double copied = copy_seconds(with.gpu, bytes, reads);
    const double arriving =
        experts_on_their_way / (used * static_cast<double>(module.weights.front().count));
    const auto time_of = [&](double share) {
      ModuleTime time{.cpu = cpu.seconds(rest, 1 - share),
                      .gpu = (with.resident + rest * share) * with.by_gpu,
                      .copied = rest * share * copied};
      time.seconds = std::max(time.gpu, time.copied) + copied * std::min(rest * share, arriving);
      return time;  // its seconds: the GPU's side
    };
    double share = 0;  // by bisection: a larger share slows the GPU and speeds up the CPU
    for (double step = 0.5; step > 1e-9; step /= 2)
      if (const auto time = time_of(share + step); time.seconds < time.cpu) share += step;
    auto time = time_of(share);
    time.seconds = std::max(time.seconds, time.cpu);
    if (copied <= 0 || time.seconds >= out.time.seconds) return;
    out.time = time;
    out.streamed = share;
  }

  // reads: the fraction of the copying time in which the CPU reads at its full rate.
  double copy_seconds(const std::string& device, double bytes, double reads) {
    const auto& gpu = plan_.gpu(device);
    const double slow = gpu.copy_while_reading > 0 ? gpu.copy_while_reading : gpu.copy_bandwidth;
    const double rate = reads * slow + (1 - reads) * gpu.copy_bandwidth;
    if (rate <= 0) known_ = false;
    return rate > 0 ? bytes / rate : 0;
  }

  bool router_on_gpu(int layer) const {
    const auto* device = router_device_[static_cast<size_t>(layer)];
    return device != nullptr && is_gpu(*device);
  }

  double hidden_bytes(int64_t rows) const {
    return sizeof(float) * static_cast<double>(rows) * static_cast<double>(plan_.model.info.hidden);
  }

  // Copies of the hidden state to the CPU and of the sum back.
  double crossing_seconds(int layer) const {
    const double rate = plan_.gpu(*router_device_[static_cast<size_t>(layer)]).copy_bandwidth;
    return handshake_seconds + (rate > 0 ? 2 * hidden_bytes(shape_.rows) / rate : 0);
  }

  // A copy of the hidden state from one GPU to the next; through the CPU's memory if they have no
  // direct access to each other.
  double hop(const std::string& from, const std::string& to, int64_t rows) const {
    const auto& next = plan_.gpu(to);
    const double rate = next.peer_bandwidth > 0
                            ? next.peer_bandwidth
                            : std::min(plan_.gpu(from).copy_bandwidth, next.copy_bandwidth) / 2;
    return hop_seconds + (rate > 0 ? hidden_bytes(rows) / rate : 0);
  }

  // ---- the step ----

  bool run_beside_a_gpu(const PlannedModule& planned, const graph::Module& module) const {
    return module.op == "moe" && !is_gpu(device_of(planned)) && router_on_gpu(module.layer);
  }

  /// Sets when each module begins; returns the end of the step. Experts on the CPU run in parallel
  /// to shared experts on a GPU, which runs its residents after these; deferred ones run until the
  /// CPU's next module.
  double schedule(std::vector<ModuleTime>& times) const {
    double now = 0, deferred_until = 0;
    ModuleTime* experts = nullptr;  // of this layer, on the CPU in parallel to a GPU
    const auto join = [&] {
      if (experts == nullptr) return;
      experts->gpu_begin = now;
      const double end = experts->begin + experts->seconds;
      deferred_until = end + experts->deferred;
      now = std::max(now + experts->gpu, end);
      experts = nullptr;
    };
    int layer = -1;
    const std::string* gpu = nullptr;  // that has the hidden state
    for (size_t i = 0; i < times.size(); ++i) {
      const auto& module = module_of(plan_.modules[i]);
      const auto& device = device_of(plan_.modules[i]);
      const bool beside = run_beside_a_gpu(plan_.modules[i], module);
      if (!(beside || module.has_class("mlp.shared")) || module.layer != layer) join();
      layer = module.layer;
      if (is_gpu(device)) {
        if (gpu != nullptr && *gpu != device) now += hop(*gpu, device, layer < 0 ? 1 : shape_.rows);
        gpu = &device;
      }
      times[i].gpu_begin = now;
      times[i].begin = is_gpu(device) ? now : std::max(now, deferred_until);
      if (beside)
        experts = &times[i];
      else
        now = times[i].begin + times[i].seconds;
    }
    join();
    return now;
  }

  const Plan& plan_;
  StepShape shape_;
  std::vector<const graph::Node*> node_of_;              // by module
  std::vector<const std::string*> router_device_;        // by layer; null: it has no router
  std::map<std::pair<int, int64_t>, ExpertLoad> loads_;  // by experts of a token, and tile
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
