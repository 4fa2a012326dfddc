// The commands of the router and of the routed experts.
#include <chrono>

#include "engine/run/commands_internal.hpp"
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

class MoeCommand final : public Command {
 public:
  MoeCommand(const CommandContext& c, const Node& node)
      : Command(node.place),
        x_(input(c, node, 0)),
        routing_(input(c, node, 1)),
        y_(output(c, node)),
        max_rows_(c.max_rows),
        streams_(c.streams(node.module)) {
    const auto& params = std::get<graph::MoeParams>(node.params);
    args_ = {.top_k = params.top_k,
             .experts = params.experts,
             .hidden = params.hidden,
             .intermediate = params.intermediate,
             .gate = expert_matrix(c, node, "gate"),
             .up = expert_matrix(c, node, "up"),
             .down = expert_matrix(c, node, "down")};
    for (const auto* matrix : {&args_.gate, &args_.up, &args_.down})
      expert_bytes_ += static_cast<uint64_t>(ops::packed_bytes(
          matrix->decode->layout(matrix->format), matrix->format, matrix->rows, matrix->cols));
    if (c.slots != nullptr && !c.slots->empty())
      args_.slots = (*c.slots)[static_cast<size_t>(node.place)][static_cast<size_t>(node.module)];
  }
  void run(const StepContext& step) const noexcept override {
    const auto x = step.workspace.view(x_), y = step.workspace.view(y_);
    const auto chosen = routing(step.workspace, routing_, max_rows_);
    auto args = args_;
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
    use.seconds += seconds;
  }

 private:
  ValueRef x_, routing_, y_;
  int64_t max_rows_;
  bool streams_;
  ops::MoeArgs args_;
  uint64_t expert_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Command> make_router_command(const CommandContext& context, const Node& node) {
  return std::make_unique<RouterCommand>(context, node);
}

std::unique_ptr<Command> make_moe_command(const CommandContext& context, const Node& node) {
  return std::make_unique<MoeCommand>(context, node);
}

size_t moe_scratch(const CommandContext& c, const Node& node) {
  const auto& params = std::get<graph::MoeParams>(node.params);
  return static_cast<size_t>(ops::moe_scratch_bytes({.gate = expert_matrix(c, node, "gate"),
                                                     .up = expert_matrix(c, node, "up"),
                                                     .down = expert_matrix(c, node, "down"),
                                                     .experts = params.experts,
                                                     .top_k = params.top_k,
                                                     .max_tokens = c.max_rows}));
}

}  // namespace ktx::engine
