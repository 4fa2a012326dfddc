// Routed experts of a slice of a prompt, split between the CPU and a GPU to which they are
// streamed.
#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "engine/run/cuda_commands.hpp"
#include "engine/run/programs.hpp"
#include "ops/moe/cuda.hpp"

namespace ktx::engine {

using graph::Node;

namespace {

/// Number of layers whose times are averaged to correct the rates.
constexpr int layers_of_rates = 4;

LayerExperts layer_experts(const CommandContext& c, int module) {
  return {.gate = &c.weights->get(module, "gate"),
          .up = &c.weights->get(module, "up"),
          .down = &c.weights->get(module, "down")};
}

// The plan's machine description, or typical values: corrected as soon as layers have run.
SplitRates first_rates(const CommandContext& c, int gpu) {
  const auto& machine = c.plan->machine;
  const auto& card = machine.gpus[static_cast<size_t>(c.place(gpu).index)];
  const auto known = [](double figure, double usual) { return figure > 0 ? figure : usual; };
  const double of_core = machine.isa >= hw::Isa::amx_int8      ? 0.8e12
                         : machine.isa >= hw::Isa::avx512_vnni ? 0.15e12
                                                               : 0.04e12;
  return {.copy_bytes = known(card.copy_bandwidth, 45e9),
          .read_bytes = known(machine.read_bandwidth, 100e9),
          .cpu_flops = of_core * c.workers,
          .gpu_flops = known(card.tensor_flops, 300e12) / 4};
}

bool holds_residents(const CommandContext& c, const Node& node) {
  return find_weight(c, node, "gate") != nullptr;
}

class CudaStreamedMoe final : public CudaCommand {
 public:
  CudaStreamedMoe(const CommandContext& c, const Node& node)
      : CudaCommand(c, node),
        x_(input(c, node, 0)),
        routing_(input(c, node, 1)),
        on_cpu_(input(c, node, 2)),
        y_(output(c, node)),
        max_rows_(c.max_rows),
        module_(static_cast<size_t>(node.module)),
        layer_(layer_experts(c, node.module)),
        args_(moe_shape(node, *layer_.gate, *layer_.down)),
        is_fixed_(c.plan->deterministic),
        residents_(c.plan->find(node.module)->residents.experts) {
    if (holds_residents(c, node)) resident_moe_ = make_cuda_resident_moe(c, node);
    args_.scratch_pairs = c.max_rows;
    auto& shared = c.devices->kit(node.place).stream;
    const bool is_first = !shared;
    if (is_first)
      shared = std::make_unique<SharedStream>(
          queue(), stream_shape(*c.plan, device::to_string(queue().place())),
          first_rates(c, node.place), c.plan->model.modules.size());
    auto& popular = shared->popular[module_];
    for (int32_t e = 0; e < args_.experts; ++e)
      if (!std::ranges::binary_search(residents_, e)) popular.push_back(e);
    if (is_first && !is_fixed_) measure_copies(*shared);
    tokens_.resize(static_cast<size_t>(args_.experts));
    order_.resize(static_cast<size_t>(args_.experts));
    const auto bytes = [](const LoadedWeight& w) {
      return static_cast<double>(ops::packed_bytes(w.layout, w.format, w.rows, w.cols));
    };
    expert_bytes_ = bytes(*layer_.gate) + bytes(*layer_.up) + bytes(*layer_.down);
    for (const Node& n : c.graph->nodes)
      if (n.op == graph::Op::moe && n.place == node.place && n.layer > node.layer &&
          c.streams(n.module)) {
        next_module_ = static_cast<size_t>(n.module);
        next_ = layer_experts(c, n.module);
        break;
      }
  }

  void submit(const StepContext& step) const noexcept override {
    count_tokens(step);
    auto& shared = *kit().stream;
    correct_rates(step, shared);
    const auto split = split_experts({.tokens = tokens_,
                                      .residents = residents_,
                                      .prefetched = shared.stream.prefetched(layer_),
                                      .expert_bytes = expert_bytes_,
                                      .token_flops = 6.0 * static_cast<double>(args_.hidden) *
                                                     static_cast<double>(args_.intermediate)},
                                     shared.rates.rates(), order_);
    shared.predicted.gpu += split.predicted.gpu;
    shared.predicted.cpu += split.predicted.cpu;
    std::ranges::fill(step.workspace.expert_slots, -1);
    for (const auto& expert : split.rest)
      step.workspace.expert_slots[static_cast<size_t>(expert.expert)] =
          layer_.gate->slots.empty() ? expert.expert
                                     : layer_.gate->slots[static_cast<size_t>(expert.expert)];
    run_streamed(step, split.streamed, shared);
  }

 private:
  // Copies a full ring of experts twice, because the first time includes the driver's set-up.
  void measure_copies(SharedStream& shared) const {
    for (int i = 0; i < 2; ++i) {
      const auto before = shared.stream.times();
      shared.stream.prefetch(layer_, shared.popular[module_]);
      shared.stream.wait_for_copies();
      const auto times = shared.stream.times();
      if (times.copying > before.copying)
        shared.copy_bandwidth =
            static_cast<double>(times.bytes - before.bytes) / (times.copying - before.copying);
      shared.times = times;
    }
    if (shared.copy_bandwidth <= 0) return;
    auto rates = shared.rates.rates();
    rates.copy_bytes = shared.copy_bandwidth;
    shared.rates = MeasuredRates(rates);
  }

  void count_tokens(const StepContext& step) const noexcept {
    std::ranges::fill(tokens_, 0);
    const int32_t* ids = routing(step.workspace, on_cpu_, max_rows_).ids;
    for (int64_t i = 0; i < step.rows * args_.top_k; ++i)
      if (ids[i] >= 0) ++tokens_[static_cast<size_t>(ids[i])];
    if (!resident_moe_)  // residents of another GPU are not this GPU's work
      for (const int32_t e : residents_) tokens_[static_cast<size_t>(e)] = 0;
  }

  // The CPU's time is that of the previous layer, which has ended; the GPU's is what has been
  // measured since.
  void correct_rates(const StepContext& step, SharedStream& shared) const noexcept {
    shared.elapsed.cpu += std::exchange(step.workspace.expert_seconds, 0.0);
    if (is_fixed_ || ++shared.layers < layers_of_rates) return;
    const auto times = shared.stream.times();
    const double copying = times.copying - shared.times.copying;
    const double computing = times.computing - shared.times.computing;
    shared.elapsed.gpu = std::max(copying, computing);
    if (copying > computing)  // includes copies for the next layers, which no split has predicted
      shared.predicted.gpu =
          static_cast<double>(times.bytes - shared.times.bytes) / shared.rates.rates().copy_bytes;
    shared.rates.add(shared.predicted, shared.elapsed);
    shared.times = times;
    shared.predicted = shared.elapsed = {};
    shared.layers = 0;
  }

  void run_streamed(const StepContext& step, std::span<const StreamedExpert> streamed,
                    SharedStream& shared) const noexcept {
    const auto chosen = routing(step.workspace, routing_, max_rows_);
    auto args = args_;
    args.x = bf16(step, x_);
    args.x_stride = x_.stride;
    args.tokens = step.rows;
    args.ids = chosen.ids;
    args.weights = chosen.weights;
    args.y = f32(step, y_);
    args.y_stride = y_.stride;
    args.scratch = scratch(step);
    if (resident_moe_) {
      profiled(step.profile, "resident experts", Profile::Lane::main, SpanKind::compute, queue(),
               [&] { shared.stream.time_products([&] { resident_moe_->run(step); }); });
      args.add = args.y;
    }
    shared.stream.set_profile(step.profile);
    shared.stream.run(layer_, streamed, args);
    auto& popular = shared.popular[module_];
    std::ranges::stable_sort(popular, std::ranges::greater{},
                             [&](int32_t e) { return tokens_[static_cast<size_t>(e)]; });
    // In a deterministic plan, earlier steps must not influence how sums are split.
    if (next_.gate != nullptr && !streamed.empty() && !is_fixed_)
      shared.stream.prefetch(next_, shared.popular[next_module_]);
  }

  ValueRef x_, routing_, on_cpu_, y_;
  int64_t max_rows_;
  size_t module_;
  LayerExperts layer_;
  ops::cuda::MoeArgs args_;
  bool is_fixed_;
  std::vector<int32_t> residents_;         // of any GPU
  std::unique_ptr<Command> resident_moe_;  // of this one
  double expert_bytes_ = 0;
  LayerExperts next_;  // of the next layer; after the last layer, its gate is null
  size_t next_module_ = 0;
  // Of the current step: one thread runs all steps of a program.
  mutable std::vector<int32_t> tokens_;
  mutable std::vector<StreamedExpert> order_;
};

}  // namespace

std::unique_ptr<Command> make_cuda_streamed_moe(const CommandContext& c, const Node& node) {
  return std::make_unique<CudaStreamedMoe>(c, node);
}

size_t cuda_streamed_moe_scratch(const CommandContext& c, const Node& node) {
  const auto layer = layer_experts(c, node.module);
  const auto shape = moe_shape(node, *layer.gate, *layer.down);
  const auto streamed =
      static_cast<size_t>(ops::cuda::moe_scratch_bytes(shape, c.max_rows, c.max_rows));
  return holds_residents(c, node) ? std::max(streamed, cuda_resident_moe_scratch(c, node))
                                  : streamed;
}

}  // namespace ktx::engine
