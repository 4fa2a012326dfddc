// The commands of small ops and linear layers; attention and experts have files of their own.
#include "engine/run/commands.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "engine/run/commands_internal.hpp"
#include "engine/run/lowering.hpp"
#include "ops/elementwise/elementwise.hpp"
#include "ops/embedding/embedding.hpp"
#include "ops/linear/linear.hpp"
#include "ops/norm/rms_norm.hpp"
#include "ops/router/router.hpp"

namespace ktx::engine {

using graph::Node;
using graph::Op;

namespace {

class EmbeddingCommand final : public Command {
 public:
  EmbeddingCommand(const CommandContext& c, const Node& node)
      : Command(node.place), y_(output(c, node)) {
    const auto& weight = c.weights->get(node.module, "weight");
    args_ = {.weights = weight.data, .format = weight.format, .cols = weight.cols};
  }
  void run(const StepContext& step) const noexcept override {
    const auto y = step.workspace.view(y_);
    auto args = args_;
    args.ids = step.batch.ids.data();
    args.tokens = step.batch.rows();
    args.y = y.data;
    args.y_stride = y.stride;
    ops::embedding(args, step.pool);
  }

 private:
  ValueRef y_;
  ops::EmbeddingArgs args_;
};

class NormCommand final : public Command {
 public:
  NormCommand(const CommandContext& c, const Node& node)
      : Command(node.place),
        loops_(c, node),
        x_(input(c, node, 0)),
        y_(output(c, node)),
        tail_(in_tail(c, node)) {
    const auto& weight = c.weights->get(node.module, "weight");
    args_ = {.weight = weight.floats(),
             .groups = x_.width / weight.cols,
             .width = weight.cols,
             .eps = std::get<graph::NormParams>(node.params).eps};
  }
  void run(const StepContext& step) const noexcept override {
    const auto x = step.workspace.view(x_), y = step.workspace.view(y_);
    auto args = args_;
    args.x = x.data;
    args.x_stride = x.stride;
    args.y = y.data;
    args.y_stride = y.stride;
    args.tokens = rows_of(step, tail_);
    args.kernel = loops_.of(step.batch, args.tokens);
    ops::rms_norm(args, step.pool);
  }

 private:
  Loops loops_;
  ValueRef x_, y_;
  bool tail_;
  ops::RmsNormArgs args_;
};

class ElementwiseCommand final : public Command {
 public:
  using Function = void (*)(const ops::ElementwiseArgs&, hw::WorkerPool&) noexcept;

  ElementwiseCommand(const CommandContext& c, const Node& node, Function function)
      : Command(node.place),
        a_(input(c, node, 0)),
        b_(input(c, node, 1)),
        y_(output(c, node)),
        function_(function),
        kernel_(&ops::f32::best_kernel(c.plan->machine.isa)),
        tail_(in_tail(c, node)) {}
  void run(const StepContext& step) const noexcept override {
    const auto a = step.workspace.view(a_), b = step.workspace.view(b_);
    const auto y = step.workspace.view(y_);
    function_({.a = a.data,
               .a_stride = a.stride,
               .b = b.data,
               .b_stride = b.stride,
               .y = y.data,
               .y_stride = y.stride,
               .tokens = rows_of(step, tail_),
               .width = y.width,
               .kernel = kernel_},
              step.pool);
  }

 private:
  ValueRef a_, b_, y_;
  Function function_;
  const ops::f32::Kernel* kernel_;
  bool tail_;
};

// One linear node, or several with the same input.
class LinearCommand final : public Command {
 public:
  LinearCommand(const CommandContext& c, std::span<const Node> nodes)
      : Command(nodes.front().place),
        x_(input(c, nodes.front(), 0)),
        tail_(in_tail(c, nodes.front())) {
    require(nodes.size() <= most_grouped, "too many linear nodes in one command");
    for (const auto& node : nodes) {
      const auto* bias = c.weights->find(node.module, "bias");
      matrices_.push_back(
          {.matrix = packed_matrix(c, node.module, c.weights->get(node.module, "weight")),
           .bias = bias == nullptr ? nullptr : bias->floats(),
           .y = output(c, node)});
    }
  }
  void run(const StepContext& step) const noexcept override {
    const auto x = step.workspace.view(x_);
    std::array<ops::LinearArgs, most_grouped> args;
    for (size_t i = 0; i < matrices_.size(); ++i) {
      const auto y = step.workspace.view(matrices_[i].y);
      args[i] = {.x = x.data,
                 .x_stride = x.stride,
                 .tokens = rows_of(step, tail_),
                 .w = &matrices_[i].matrix,
                 .bias = matrices_[i].bias,
                 .y = y.data,
                 .y_stride = y.stride,
                 .decode_kernel = step.batch.decode_kernels,
                 .scratch = step.workspace.scratch(place())};
    }
    ops::linear_many(std::span(args).first(matrices_.size()), step.pool);
  }

 private:
  struct Matrix {
    ops::PackedMatrix matrix;
    const float* bias;
    ValueRef y;
  };
  ValueRef x_;
  bool tail_;
  std::vector<Matrix> matrices_;
};

class LastRowsCommand final : public Command {
 public:
  LastRowsCommand(const CommandContext& c, const Node& node)
      : Command(node.place), x_(input(c, node, 0)), y_(output(c, node)) {}
  void run(const StepContext& step) const noexcept override {
    const auto x = step.workspace.view(x_), y = step.workspace.view(y_);
    for (size_t i = 0; i < step.logit_rows.size(); ++i)
      std::memcpy(y.data + static_cast<int64_t>(i) * y.stride,
                  x.data + step.logit_rows[i] * x.stride,
                  static_cast<size_t>(x.width) * sizeof(float));
  }

 private:
  ValueRef x_, y_;
};

// Values and routings on another place of the same CPUs.
class CopyCommand final : public Command {
 public:
  CopyCommand(const CommandContext& c, std::span<const Node> nodes)
      : Command(nodes.front().place), max_rows_(c.max_rows), tail_(in_tail(c, nodes.front())) {
    for (const Node& node : nodes) copies_.emplace_back(input(c, node, 0), output(c, node));
  }
  void run(const StepContext& step) const noexcept override {
    const int64_t rows = rows_of(step, tail_);
    for (const auto& [from, to] : copies_) {
      const auto x = step.workspace.view(from), y = step.workspace.view(to);
      copy(x, y, rows);
      if (!from.routing) continue;
      const int64_t weights = max_rows_ * x.width;
      copy({x.data + weights, x.stride, x.width}, {y.data + weights, y.stride, y.width}, rows);
    }
  }

 private:
  static void copy(const ValueView& from, const ValueView& to, int64_t rows) noexcept {
    for (int64_t row = 0; row < rows; ++row)
      std::memcpy(to.data + row * to.stride, from.data + row * from.stride,
                  static_cast<size_t>(from.width) * sizeof(float));
  }

  std::vector<std::pair<ValueRef, ValueRef>> copies_;
  int64_t max_rows_;
  bool tail_;
};

// Whether a GPU runs these nodes, or is the source of their copies.
bool is_cuda(const CommandContext& c, const Node& node) {
  return c.is_gpu(node.place) || (node.op == Op::copy && c.is_gpu(input(c, node, 0).place));
}

}  // namespace

bool in_tail(const CommandContext& context, const Node& node) {
  const auto& nodes = context.graph->nodes;
  // The output of last_rows and everything after it has one row for each logits row.
  const auto cut =
      std::find_if(nodes.begin(), nodes.end(), [](const Node& n) { return n.op == Op::last_rows; });
  return std::any_of(cut, nodes.end(), [&](const Node& n) { return n.output == node.output; });
}

// The CPU kernels of both phases. A phase planned for a GPU runs here only for short prompts that
// join a decode step: it then gets the other phase's kernel.
template <class Find>
auto kernels_of_cpu(const placement::PlannedModule& planned, const Find& find) {
  auto* decode = find(planned.decode.name);
  auto* prefill = find(planned.prefill.name);
  require(decode != nullptr || prefill != nullptr, "the plan names kernels that do not exist");
  return std::pair(decode != nullptr ? decode : prefill, prefill != nullptr ? prefill : decode);
}

Loops::Loops(const CommandContext& context, const Node& node) {
  std::tie(decode, prefill) =
      kernels_of_cpu(*context.plan->find(node.module), ops::f32::find_kernel);
}

ops::PackedMatrix packed_matrix(const CommandContext& context, int module,
                                const LoadedWeight& weight) {
  const auto* planned = context.plan->find(module);
  require(planned != nullptr, "a module is run but not planned");
  const auto [decode, prefill] = kernels_of_cpu(*planned, ops::find_matmul_kernel);
  return {.data = weight.data,
          .format = weight.format,
          .rows = weight.rows,
          .cols = weight.cols,
          .decode = decode,
          .prefill = prefill,
          .matrix_bytes = weight.matrix_bytes,
          .nodes = weight.nodes};
}

std::unique_ptr<Command> make_command(const CommandContext& c, std::span<const Node> nodes) {
  const auto& node = nodes.front();
  if (is_cuda(c, node)) return make_cuda_command(c, nodes);
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
      return make_router_command(c, node);
    case Op::moe:
      return make_moe_command(c, nodes);
    case Op::last_rows:
      return std::make_unique<LastRowsCommand>(c, node);
    case Op::mla:
      return make_mla_command(c, node);
    case Op::gqa:
      return make_gqa_command(c, node);
    case Op::copy:
      return std::make_unique<CopyCommand>(c, nodes);
    case Op::convert:
      break;  // only on GPUs
  }
  throw_bug("an op without a command");
}

size_t scratch_bytes(const CommandContext& c, std::span<const Node> nodes) {
  const auto& node = nodes.front();
  if (is_cuda(c, node)) return cuda_scratch_bytes(c, nodes);
  switch (node.op) {
    case Op::linear: {
      std::vector<ops::PackedMatrix> matrices;
      for (const auto& n : nodes)
        matrices.push_back(packed_matrix(c, n.module, c.weights->get(n.module, "weight")));
      return static_cast<size_t>(ops::linear_scratch_bytes(matrices, c.max_rows));
    }
    case Op::router:
      return ops::router_scratch_bytes(std::get<graph::RouterParams>(node.params), c.max_rows);
    case Op::moe:
      return moe_scratch(c, nodes);
    case Op::mla:
      return mla_scratch(c, node);
    case Op::gqa:
      return gqa_scratch(c, node);
    default:
      return 0;
  }
}

}  // namespace ktx::engine
