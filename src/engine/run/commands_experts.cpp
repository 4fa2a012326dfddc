// The commands of the router and of the routed experts.
#include <algorithm>
#include <chrono>
#include <optional>
#include <vector>

#include "engine/run/commands_internal.hpp"
#include "engine/run/deferral.hpp"
#include "ops/arena.hpp"
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
    args.kernel = loops_.of(step.batch, args.tokens);
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

// The nodes that command_nodes() returns together with routed experts: all nodes of the shared
// expert (gate, up, SiLU product, down, sum) or none; and perhaps a sum with another value.
class ExpertNodes {
 public:
  explicit ExpertNodes(std::span<const Node> all) : all_(all) {}

  bool has_shared() const { return all_.size() > shared_end; }
  const Node& gate() const { return all_[1]; }
  const Node& up() const { return all_[2]; }
  const Node& down() const { return all_[4]; }
  // The other value of the last sum; -1: there is none.
  int addend() const {
    const size_t end = has_shared() ? shared_end + 1 : 1;
    if (all_.size() == end) return -1;
    const Node &made = all_[end - 1], &sum = all_[end];
    return sum.inputs[sum.inputs[0] == made.output ? 1 : 0];
  }
  // The commands for these nodes when they can't run as one.
  std::vector<std::span<const Node>> apart() const {
    std::vector<std::span<const Node>> out{all_.first(1)};
    size_t next = 1;
    if (has_shared()) {
      out.push_back(all_.subspan(1, 2));
      next = 3;
    }
    for (; next < all_.size(); ++next) out.push_back(all_.subspan(next, 1));
    return out;
  }

 private:
  static constexpr size_t shared_end = 5;
  std::span<const Node> all_;
};

std::optional<ops::SharedExpert> shared_expert(const CommandContext& c, const ExpertNodes& nodes) {
  if (!nodes.has_shared()) return std::nullopt;
  const auto matrix = [&](const Node& node) {
    return packed_matrix(c, node.module, c.weights->get(node.module, "weight"));
  };
  return ops::SharedExpert{
      .gate = matrix(nodes.gate()), .up = matrix(nodes.up()), .down = matrix(nodes.down())};
}

// The ids of a node's experts, [max_rows, top_k], at the start of its scratch; none if the node
// computes all experts.
int32_t* take_ids(ops::Arena& scratch, const graph::MoeParams& params, int64_t max_rows) noexcept {
  if (params.part == graph::MoePart::all) return nullptr;
  return scratch.take<int32_t>(max_rows * params.top_k);
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
        params_(std::get<graph::MoeParams>(node.params)),
        streams_(c.streams(node.module)) {
    args_ = {.top_k = params_.top_k,
             .experts = params_.experts,
             .hidden = params_.hidden,
             .intermediate = params_.intermediate,
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
    ops::Arena scratch(step.workspace.scratch(place()));
    if (int32_t* ids = take_ids(scratch, params_, max_rows_); ids != nullptr) {
      select_ids(step.batch, chosen, ids);
      args.ids = ids;
    }
    args.scratch = step.workspace.scratch(place()) + scratch.used();
    if (streams_) args.slots = step.workspace.expert_slots.data();
    const auto start = std::chrono::steady_clock::now();
    const int64_t experts = ops::moe(args, step.pool);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    step.workspace.expert_seconds = seconds;
    auto& use = step.workspace.expert_use;
    if (params_.part != graph::MoePart::deferred) use.layers += 1;
    use.experts += experts;
    use.bytes += static_cast<uint64_t>(experts) * expert_bytes_;
    if (shared != nullptr) use.bytes += bytes_of(*shared);
    use.seconds += seconds;
  }

 private:
  // Selects the chosen experts that this node computes. Prompts do not defer experts.
  void select_ids(const Batch& batch, const RoutingView& chosen, int32_t* ids) const noexcept {
    const auto top_k = static_cast<size_t>(params_.top_k);
    for (const auto& sequence : batch.sequences)
      for (int64_t t = sequence.first_row; t < sequence.first_row + sequence.rows; ++t) {
        const int64_t first = t * params_.top_k;
        select_experts({{chosen.ids + first, top_k}, {chosen.weights + first, top_k}}, params_.part,
                       sequence.phase == Phase::decode ? params_.deferred : 0,
                       {ids + first, top_k});
      }
  }

  ValueRef x_, routing_, y_;
  int64_t max_rows_;
  graph::MoeParams params_;
  bool streams_;
  ops::MoeArgs args_;
  uint64_t expert_bytes_ = 0;
};

// Routed experts, the shared expert and the sums. With few rows, the two passes over routed experts
// include the shared one; with more rows, it runs after them, with the linear layers' prefill
// kernels. A shared expert with biases always runs separately.
class MoeAndSumsCommand final : public MoeCommand {
 public:
  MoeAndSumsCommand(const CommandContext& c, std::span<const Node> all)
      : MoeCommand(c, all.front(), all.back().output), shared_(shared_expert(c, ExpertNodes(all))) {
    const ExpertNodes nodes(all);
    if (const int addend = nodes.addend(); addend >= 0)
      add_ = c.values[static_cast<size_t>(addend)];
    if (shared_)
      for (const Node* node : {&nodes.gate(), &nodes.up(), &nodes.down()})
        together_ = together_ && c.weights->find(node->module, "bias") == nullptr;
    together_ = together_ && (!add_ || add_->stride == output(c, all.back()).stride);
    for (const auto& of_command : nodes.apart()) apart_.push_back(make_command(c, of_command));
  }
  void run(const StepContext& step) const noexcept override {
    if (together_ && step.batch.rows() <= ops::decode_tokens)
      return run_with(step, shared_ ? &*shared_ : nullptr,
                      add_ ? step.workspace.view(*add_).data : nullptr);
    for (const auto& command : apart_) command->run(step);
  }

 private:
  std::optional<ops::SharedExpert> shared_;
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
  if (nodes.size() > 1) return std::make_unique<MoeAndSumsCommand>(context, nodes);
  return std::make_unique<MoeCommand>(context, nodes.front(), nodes.front().output);
}

size_t moe_scratch(const CommandContext& c, std::span<const Node> nodes) {
  const Node& node = nodes.front();
  const auto& params = std::get<graph::MoeParams>(node.params);
  const ExpertNodes experts(nodes);
  const auto shared = shared_expert(c, experts);
  ops::Arena ids;
  take_ids(ids, params, c.max_rows);
  const auto bytes =
      static_cast<size_t>(ops::moe_scratch_bytes({.gate = expert_matrix(c, node, "gate"),
                                                  .up = expert_matrix(c, node, "up"),
                                                  .down = expert_matrix(c, node, "down"),
                                                  .shared = shared ? &*shared : nullptr,
                                                  .experts = params.experts,
                                                  .top_k = params.top_k,
                                                  .max_tokens = c.max_rows}));
  size_t most = ids.used() + bytes;
  if (nodes.size() > 1)
    for (const auto& of_command : experts.apart())
      most = std::max(most, scratch_bytes(c, of_command));
  return most;
}

}  // namespace ktx::engine
