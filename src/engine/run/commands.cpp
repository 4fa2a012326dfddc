// The commands of the small ops and of matrix products; attention is in commands_attention.cpp.
#include "engine/run/commands.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/base/error.hpp"
#include "engine/run/commands_internal.hpp"
#include "ops/elementwise/elementwise.hpp"
#include "ops/embedding/embedding.hpp"
#include "ops/linear/linear.hpp"
#include "ops/moe/moe.hpp"
#include "ops/norm/rms_norm.hpp"
#include "ops/router/router.hpp"

namespace ktx::engine {

using graph::Node;
using graph::Op;

namespace {

class EmbeddingCommand final : public Command {
 public:
  EmbeddingCommand(const CommandContext& c, const Node& node) {
    const auto& weight = c.weights->get(node.module, "weight");
    const auto y = output(c, node);
    args_ = {.weights = weight.data,
             .format = weight.format,
             .cols = weight.cols,
             .y = y.data,
             .y_stride = y.stride};
  }
  void run(const Step& step, hw::WorkerPool& pool) noexcept override {
    args_.ids = step.ids;
    args_.tokens = step.tokens;
    ops::embedding(args_, pool);
  }

 private:
  ops::EmbeddingArgs args_;
};

// The float loops that the plan named for a module, in each phase.
struct Loops {
  Loops(const CommandContext& c, const Node& node)
      : decode(ops::f32::find_kernel(c.plan->find(node.module)->decode.name)),
        prefill(ops::f32::find_kernel(c.plan->find(node.module)->prefill.name)) {
    require(decode != nullptr && prefill != nullptr, "the plan names float loops that don't exist");
  }
  const ops::f32::Kernel* of(const Step& step) const noexcept {
    return step.tokens == 1 ? decode : prefill;
  }
  const ops::f32::Kernel *decode, *prefill;
};

class NormCommand final : public Command {
 public:
  NormCommand(const CommandContext& c, const Node& node)
      : loops_(c, node), tail_(in_tail(c, node)) {
    const auto& weight = c.weights->get(node.module, "weight");
    const auto x = input(c, node, 0), y = output(c, node);
    args_ = {.x = x.data,
             .x_stride = x.stride,
             .y = y.data,
             .y_stride = y.stride,
             .weight = weight.floats(),
             .groups = x.width / weight.cols,
             .width = weight.cols,
             .eps = std::get<graph::NormParams>(node.params).eps};
  }
  void run(const Step& step, hw::WorkerPool& pool) noexcept override {
    args_.tokens = tail_ ? step.tail_rows : step.tokens;
    args_.kernel = loops_.of(step);
    ops::rms_norm(args_, pool);
  }

 private:
  Loops loops_;
  ops::RmsNormArgs args_;
  bool tail_;
};

class ElementwiseCommand final : public Command {
 public:
  using Function = void (*)(const ops::ElementwiseArgs&, hw::WorkerPool&) noexcept;

  ElementwiseCommand(const CommandContext& c, const Node& node, Function function)
      : function_(function) {
    const auto a = input(c, node, 0), b = input(c, node, 1), y = output(c, node);
    args_ = {.a = a.data,
             .a_stride = a.stride,
             .b = b.data,
             .b_stride = b.stride,
             .y = y.data,
             .y_stride = y.stride,
             .width = y.width,
             .kernel = &ops::f32::best_kernel(c.plan->machine.isa)};
  }
  void run(const Step& step, hw::WorkerPool& pool) noexcept override {
    args_.tokens = step.tokens;
    function_(args_, pool);
  }

 private:
  ops::ElementwiseArgs args_;
  Function function_;
};

class RouterCommand final : public Command {
 public:
  RouterCommand(const CommandContext& c, const Node& node)
      : loops_(c, node), params_(std::get<graph::RouterParams>(node.params)) {
    const auto& weight = c.weights->get(node.module, "weight");
    const auto* bias = c.weights->find(node.module, "bias");
    const auto x = input(c, node, 0);
    const auto chosen = routing(c, output(c, node));
    args_ = {.params = &params_,
             .x = x.data,
             .x_stride = x.stride,
             .hidden = weight.cols,
             .weight = weight.floats(),
             .bias = bias == nullptr ? nullptr : bias->floats(),
             .ids = chosen.ids,
             .weights = chosen.weights,
             .scratch = c.scratch};
  }
  void run(const Step& step, hw::WorkerPool& pool) noexcept override {
    args_.tokens = step.tokens;
    args_.kernel = loops_.of(step);
    ops::router(args_, pool);
  }

 private:
  Loops loops_;
  graph::RouterParams params_;
  ops::RouterArgs args_;
};

// One linear node, or several with the same input.
class LinearCommand final : public Command {
 public:
  LinearCommand(const CommandContext& c, std::span<const Node> nodes)
      : tail_(in_tail(c, nodes.front())) {
    for (const auto& node : nodes) {
      matrices_.push_back(packed_matrix(c, node.module, c.weights->get(node.module, "weight")));
    }
    for (size_t i = 0; i < nodes.size(); ++i) {
      const auto* bias = c.weights->find(nodes[i].module, "bias");
      const auto x = input(c, nodes[i], 0), y = output(c, nodes[i]);
      args_.push_back({.x = x.data,
                       .x_stride = x.stride,
                       .w = &matrices_[i],
                       .bias = bias == nullptr ? nullptr : bias->floats(),
                       .y = y.data,
                       .y_stride = y.stride,
                       .scratch = c.scratch});
    }
  }
  void run(const Step& step, hw::WorkerPool& pool) noexcept override {
    for (auto& args : args_) args.tokens = tail_ ? step.tail_rows : step.tokens;
    ops::linear_many(args_, pool);
  }

 private:
  std::vector<ops::PackedMatrix> matrices_;
  std::vector<ops::LinearArgs> args_;
  bool tail_;
};

class MoeCommand final : public Command {
 public:
  MoeCommand(const CommandContext& c, const Node& node)
      : gate_(expert_matrix(c, node, "gate")),
        up_(expert_matrix(c, node, "up")),
        down_(expert_matrix(c, node, "down")) {
    const auto& params = std::get<graph::MoeParams>(node.params);
    const auto x = input(c, node, 0), y = output(c, node);
    const auto chosen = routing(c, input(c, node, 1));
    args_ = {.x = x.data,
             .x_stride = x.stride,
             .ids = chosen.ids,
             .weights = chosen.weights,
             .top_k = params.top_k,
             .experts = params.experts,
             .hidden = params.hidden,
             .intermediate = params.intermediate,
             .gate = gate_,
             .up = up_,
             .down = down_,
             .y = y.data,
             .y_stride = y.stride,
             .scratch = c.scratch};
  }
  void run(const Step& step, hw::WorkerPool& pool) noexcept override {
    args_.tokens = step.tokens;
    ops::moe(args_, pool);
  }

  static ops::PackedMatrix expert_matrix(const CommandContext& c, const Node& node,
                                         std::string_view role) {
    return packed_matrix(c, node.module, c.weights->get(node.module, role));
  }

 private:
  ops::PackedMatrix gate_, up_, down_;
  ops::MoeArgs args_;
};

class LastRowsCommand final : public Command {
 public:
  LastRowsCommand(const CommandContext& c, const Node& node)
      : x_(input(c, node, 0)), y_(output(c, node)) {}
  void run(const Step& step, hw::WorkerPool&) noexcept override {
    for (int64_t row = 0; row < step.tail_rows; ++row)
      std::memcpy(y_.data + row * y_.stride, x_.data + (step.tail_begin + row) * x_.stride,
                  static_cast<size_t>(x_.width) * sizeof(float));
  }

 private:
  ValueView x_, y_;
};

}  // namespace

bool in_tail(const CommandContext& context, const Node& node) {
  const auto& nodes = context.plan->model.graph.nodes;
  // The output of last_rows and everything after it has one row a logits row.
  const auto cut =
      std::find_if(nodes.begin(), nodes.end(), [](const Node& n) { return n.op == Op::last_rows; });
  return std::any_of(cut, nodes.end(), [&](const Node& n) { return n.output == node.output; });
}

ops::PackedMatrix packed_matrix(const CommandContext& context, int module,
                                const LoadedWeight& weight) {
  const auto* planned = context.plan->find(module);
  require(planned != nullptr, "a module is run but not planned");
  return {.data = weight.data,
          .format = weight.format,
          .rows = weight.rows,
          .cols = weight.cols,
          .decode = ops::find_matmul_kernel(planned->decode.name),
          .prefill = ops::find_matmul_kernel(planned->prefill.name),
          .matrix_bytes = weight.matrix_bytes,
          .nodes = weight.nodes};
}

std::unique_ptr<Command> make_command(const CommandContext& c, std::span<const Node> nodes) {
  const auto& node = nodes.front();
  switch (node.op) {
    case Op::embedding:
      return std::make_unique<EmbeddingCommand>(c, node);
    case Op::rms_norm:
      return std::make_unique<NormCommand>(c, node);
    case Op::linear:
      return std::make_unique<LinearCommand>(c, nodes);
    case Op::silu_mul:
      return std::make_unique<ElementwiseCommand>(c, node, ops::silu_mul);
    case Op::add:
      return std::make_unique<ElementwiseCommand>(c, node, ops::add);
    case Op::scale_sigmoid:
      return std::make_unique<ElementwiseCommand>(c, node, ops::scale_sigmoid);
    case Op::router:
      return std::make_unique<RouterCommand>(c, node);
    case Op::moe:
      return std::make_unique<MoeCommand>(c, node);
    case Op::last_rows:
      return std::make_unique<LastRowsCommand>(c, node);
    case Op::mla:
      return make_mla_command(c, node);
    case Op::gqa:
      return make_gqa_command(c, node);
  }
  throw_bug("an op without a command");
}

size_t scratch_bytes(const CommandContext& c, std::span<const Node> nodes) {
  const auto& node = nodes.front();
  switch (node.op) {
    case Op::linear: {
      std::vector<ops::PackedMatrix> matrices;
      for (const auto& n : nodes)
        matrices.push_back(packed_matrix(c, n.module, c.weights->get(n.module, "weight")));
      return static_cast<size_t>(ops::linear_scratch_bytes(matrices, c.max_tokens));
    }
    case Op::router:
      return ops::router_scratch_bytes(std::get<graph::RouterParams>(node.params), c.max_tokens);
    case Op::moe: {
      const auto& params = std::get<graph::MoeParams>(node.params);
      return static_cast<size_t>(
          ops::moe_scratch_bytes({.gate = MoeCommand::expert_matrix(c, node, "gate"),
                                  .up = MoeCommand::expert_matrix(c, node, "up"),
                                  .down = MoeCommand::expert_matrix(c, node, "down"),
                                  .experts = params.experts,
                                  .top_k = params.top_k,
                                  .max_tokens = c.max_tokens}));
    }
    case Op::mla:
      return mla_scratch(c, node);
    case Op::gqa:
      return gqa_scratch(c, node);
    default:
      return 0;
  }
}

}  // namespace ktx::engine
