// The commands of the router and of the routed experts.
#include <algorithm>
#include <chrono>
#include <optional>
#include <vector>

#include "engine/run/commands_internal.hpp"
#include "ops/linear/linear.hpp"
#include "ops/moe/moe.hpp"
#include "ops/router/router.hpp"

namespace ktx::engine {

using graph::Node;

namespace {

class RouterCommand final : public Command {
 public:
  RouterCommand(const CommandContext& c, const Node& node)
      : Command(node.place),
        loops_(c, node),
        params_(std::get<graph::RouterParams>(node.params)),
        x_(input(c, node, 0)),
        y_(output(c, node)),
        max_rows_(c.max_rows),
        default_experts_(c.plan->experts_per_token[static_cast<size_t>(node.layer)]) {
    const auto& weight = c.weights->get(node.module, "weight");
    const auto* bias = c.weights->find(node.module, "bias");
    args_ = {.params = &params_,
             .hidden = weight.cols,
             .weight = weight.floats(),
             .bias = bias == nullptr ? nullptr : bias->floats()};
  }
  void run(const StepContext& step) const noexcept override {
    const auto x = step.workspace.view(x_);
    const auto chosen = routing(step.workspace, y_, max_rows_);
    auto args = args_;
    args.x = x.data;
    args.x_stride = x.stride;
    args.tokens = step.batch.rows();
    args.experts_per_token = experts_of_rows(step);
    args.ids = chosen.ids;
    args.weights = chosen.weights;
    args.kernel = loops_.of(step.batch);
    args.scratch = step.workspace.scratch(place());
    ops::router(args, step.pool);
  }

 private:
  // How many experts each row gets in this layer.
  const int32_t* experts_of_rows(const StepContext& step) const noexcept {
    int32_t* counts = step.workspace.experts_per_token.data();
    for (const auto& sequence : step.batch.sequences)
      std::fill_n(counts + sequence.first_row, sequence.rows,
                  sequence.experts_per_token > 0 ? sequence.experts_per_token : default_experts_);
    return counts;
  }

  Loops loops_;
  graph::RouterParams params_;
  ValueRef x_, y_;
  int64_t max_rows_;
  int default_experts_;
  ops::RouterArgs args_;
};

ops::PackedMatrix expert_matrix(const CommandContext& c, const Node& node, std::string_view role) {
  return packed_matrix(c, node.module, c.weights->get(node.module, role));
}

// The nodes of a shared expert that command_nodes() gives with the routed ones.
struct SharedNodes {
  explicit SharedNodes(std::span<const Node> all)
      : gate(all[1]),
        up(all[2]),
        down(all[4]),
        sum(all[5]),
        added(all.size() > 6 ? &all[6] : nullptr) {}
  const Node &gate, &up, &down, &sum;
  const Node* added;  // null: the sum of the experts is added to nothing

  // What is added to; -1: nothing.
  int addend() const {
    if (added == nullptr) return -1;
    return added->inputs[added->inputs[0] == sum.output ? 1 : 0];
  }
};

ops::SharedExpert shared_expert(const CommandContext& c, const SharedNodes& nodes) {
  const auto matrix = [&](const Node& node) {
    return packed_matrix(c, node.module, c.weights->get(node.module, "weight"));
  };
  return {.gate = matrix(nodes.gate), .up = matrix(nodes.up), .down = matrix(nodes.down)};
}

uint64_t bytes_of(const ops::SharedExpert& expert) noexcept {
  int64_t bytes = 0;
  for (const auto* m : {&expert.gate, &expert.up, &expert.down})
    bytes += ops::packed_bytes(m->decode->layout(m->format), m->format, m->rows, m->cols);
  return static_cast<uint64_t>(bytes);
}

class MoeCommand : public Command {
 public:
  MoeCommand(const CommandContext& c, const Node& node, int result)
      : Command(node.place),
        x_(input(c, node, 0)),
        routing_(input(c, node, 1)),
        y_(c.values[static_cast<size_t>(result)]),
        max_rows_(c.max_rows),
        streams_(c.streams(node.module)) {
    const auto& params = std::get<graph::MoeParams>(node.params);
    args_ = {.top_k = params.top_k,
             .experts = params.experts,
             .hidden = params.hidden,
             .intermediate = params.intermediate,
             .gate = expert_matrix(c, node, "gate"),
             .up = expert_matrix(c, node, "up"),
             .down = expert_matrix(c, node, "down"),
             .silu = &ops::f32::best_kernel(c.plan->machine.isa)};
    expert_bytes_ = bytes_of({args_.gate, args_.up, args_.down});
    if (c.slots != nullptr && !c.slots->empty())
      args_.slots = (*c.slots)[static_cast<size_t>(node.place)][static_cast<size_t>(node.module)];
  }
  void run(const StepContext& step) const noexcept override { run_with(step, nullptr, nullptr); }

 protected:
  void run_with(const StepContext& step, const ops::SharedExpert* shared,
                const float* add) const noexcept {
    const auto x = step.workspace.view(x_), y = step.workspace.view(y_);
    const auto chosen = routing(step.workspace, routing_, max_rows_);
    auto args = args_;
    args.shared = shared;
    args.add = add;
    args.x = x.data;
    args.x_stride = x.stride;
    args.tokens = step.batch.rows();
    args.ids = chosen.ids;
    args.weights = chosen.weights;
    args.decode_kernels = step.batch.decode_kernels;
    args.y = y.data;
    args.y_stride = y.stride;
    args.scratch = step.workspace.scratch(place());
    if (streams_) args.slots = step.workspace.expert_slots.data();
    const auto start = std::chrono::steady_clock::now();
    const int64_t experts = ops::moe(args, step.pool);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    step.workspace.expert_seconds = seconds;
    auto& use = step.workspace.expert_use;
    use.layers += 1;
    use.experts += experts;
    use.bytes += static_cast<uint64_t>(experts) * expert_bytes_;
    if (shared != nullptr) use.bytes += bytes_of(*shared);
    use.seconds += seconds;
  }

 private:
  ValueRef x_, routing_, y_;
  int64_t max_rows_;
  bool streams_;
  ops::MoeArgs args_;
  uint64_t expert_bytes_ = 0;
};

// The nodes of each command where the shared expert does not go with the others.
std::vector<std::span<const Node>> apart(std::span<const Node> nodes) {
  std::vector<std::span<const Node>> out{nodes.first(1), nodes.subspan(1, 2)};
  for (size_t i = 3; i < nodes.size(); ++i) out.push_back(nodes.subspan(i, 1));
  return out;
}

// Routed experts, the shared one and the sums: of few rows in the two passes of the experts; of
// more one after the other, with the kernels that linear layers of prompts have. A shared expert
// with biases is always apart.
class MoeAndSharedCommand final : public MoeCommand {
 public:
  MoeAndSharedCommand(const CommandContext& c, std::span<const Node> nodes)
      : MoeCommand(c, nodes.front(), nodes.back().output),
        shared_(shared_expert(c, SharedNodes(nodes))) {
    const SharedNodes shared(nodes);
    if (const int addend = shared.addend(); addend >= 0)
      add_ = c.values[static_cast<size_t>(addend)];
    for (const Node* node : {&shared.gate, &shared.up, &shared.down})
      together_ = together_ && c.weights->find(node->module, "bias") == nullptr;
    together_ = together_ && (!add_ || add_->stride == output(c, nodes.back()).stride);
    for (const auto& of_command : apart(nodes)) apart_.push_back(make_command(c, of_command));
  }
  void run(const StepContext& step) const noexcept override {
    if (together_ && step.batch.rows() <= ops::decode_tokens)
      return run_with(step, &shared_, add_ ? step.workspace.view(*add_).data : nullptr);
    for (const auto& command : apart_) command->run(step);
  }

 private:
  ops::SharedExpert shared_;
  std::optional<ValueRef> add_;
  bool together_ = true;
  std::vector<std::unique_ptr<Command>> apart_;
};

}  // namespace

std::unique_ptr<Command> make_router_command(const CommandContext& context, const Node& node) {
  return std::make_unique<RouterCommand>(context, node);
}

std::unique_ptr<Command> make_moe_command(const CommandContext& context,
                                          std::span<const Node> nodes) {
  if (nodes.size() > 1) return std::make_unique<MoeAndSharedCommand>(context, nodes);
  return std::make_unique<MoeCommand>(context, nodes.front(), nodes.front().output);
}

size_t moe_scratch(const CommandContext& c, std::span<const Node> nodes) {
  const Node& node = nodes.front();
  const auto& params = std::get<graph::MoeParams>(node.params);
  std::optional<ops::SharedExpert> shared;
  if (nodes.size() > 1) shared = shared_expert(c, SharedNodes(nodes));
  const auto bytes =
      static_cast<size_t>(ops::moe_scratch_bytes({.gate = expert_matrix(c, node, "gate"),
                                                  .up = expert_matrix(c, node, "up"),
                                                  .down = expert_matrix(c, node, "down"),
                                                  .shared = shared ? &*shared : nullptr,
                                                  .experts = params.experts,
                                                  .top_k = params.top_k,
                                                  .max_tokens = c.max_rows}));
  size_t most = bytes;
  if (shared)
    for (const auto& of_command : apart(nodes)) most = std::max(most, scratch_bytes(c, of_command));
  return most;
}

}  // namespace ktx::engine
