// The commands of small ops and of linear layers on GPUs.
#include "engine/run/cuda_commands.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "core/base/error.hpp"
#include "core/device/cuda.hpp"
#include "engine/run/lowering.hpp"
#include "ops/embedding/cuda.hpp"
#include "ops/norm/cuda.hpp"

namespace ktx::engine {

using graph::Node;
using graph::NumberType;
using graph::Op;

namespace {

class CudaEmbedding final : public CudaCommand {
 public:
  CudaEmbedding(const CommandContext& c, const Node& node)
      : CudaCommand(c, node), y_(output(c, node)) {
    const auto& weight = weight_of(c, node, "weight");
    args_ = {.weights = weight.data, .format = weight.format, .cols = weight.cols};
  }
  void submit(const StepContext& step) const noexcept override {
    auto args = args_;
    args.ids = step.workspace.inputs(place()).ids();
    args.tokens = step.rows;
    args.y = f32(step, y_);
    args.y_stride = y_.stride;
    ops::cuda::embedding(args, queue());
  }

 private:
  ValueRef y_;
  ops::cuda::EmbeddingArgs args_;
};

// A norm, and its output rounded to bf16 if nodes read it in both types.
class CudaNorm final : public CudaCommand {
 public:
  CudaNorm(const CommandContext& c, std::span<const Node> nodes)
      : CudaCommand(c, nodes.front()), x_(input(c, nodes.front(), 0)) {
    for (const Node& node : nodes) {
      const ValueRef& y = output(c, node);
      (y.type == NumberType::bf16 ? y_bf16_ : y_f32_) = y;
      (y.type == NumberType::bf16 ? writes_bf16_ : writes_f32_) = true;
    }
    const auto& weight = weight_of(c, nodes.front(), "weight");
    args_ = {.weight = weight.floats(),
             .groups = x_.width / weight.cols,
             .width = weight.cols,
             .eps = std::get<graph::NormParams>(nodes.front().params).eps};
  }
  int64_t groups() const noexcept { return args_.groups; }
  /// x += value, before the norm.
  void add_before(const ValueRef& value) {
    add_ = value;
    adds_ = true;
  }
  void submit(const StepContext& step) const noexcept override {
    auto args = args_;
    args.x = f32(step, x_);
    args.x_stride = x_.stride;
    if (adds_) {
      args.add = f32(step, add_);
      args.add_stride = add_.stride;
    }
    if (writes_f32_) args.y = f32(step, y_f32_);
    if (writes_bf16_) args.y_bf16 = bf16(step, y_bf16_);
    args.y_stride = writes_f32_ ? y_f32_.stride : y_bf16_.stride;
    args.rows = rows(step);
    ops::cuda::rms_norm(args, queue());
  }

 private:
  ValueRef x_, add_, y_f32_, y_bf16_;
  bool adds_ = false, writes_f32_ = false, writes_bf16_ = false;
  ops::cuda::RmsNormArgs args_;
};

class CudaPair final : public CudaCommand {
 public:
  using Function = void (*)(const ops::cuda::PairArgs&, const device::Queue&) noexcept;

  CudaPair(const CommandContext& c, const Node& node, Function function)
      : CudaCommand(c, node),
        a_(input(c, node, 0)),
        b_(input(c, node, 1)),
        y_(output(c, node)),
        function_(function) {}
  void submit(const StepContext& step) const noexcept override {
    function_(pair(step, a_, b_, y_), queue());
  }

 private:
  ValueRef a_, b_, y_;
  Function function_;
};

// A sum and its norm: one kernel if the sum is stored in place of its first operand.
class CudaSumNorm final : public Command {
 public:
  CudaSumNorm(const CommandContext& c, std::span<const Node> nodes)
      : Command(nodes.front().place),
        sum_(c, nodes.front(), ops::cuda::add),
        norm_(c, nodes.subspan(1)) {
    const ValueRef& y = output(c, nodes.front());
    for (const size_t i : {0, 1}) {
      const ValueRef &x = input(c, nodes.front(), i), &other = input(c, nodes.front(), 1 - i);
      if (x.offset != y.offset || norm_.groups() != 1) continue;
      norm_.add_before(other);
      is_one_ = true;
      break;
    }
  }
  void run(const StepContext& step) const noexcept override {
    if (!is_one_) sum_.run(step);
    norm_.run(step);
  }

 private:
  CudaPair sum_;
  CudaNorm norm_;
  bool is_one_ = false;
};

// One linear node, perhaps with the sum that adds its output, or several with the same input.
class CudaLinear final : public CudaCommand {
 public:
  CudaLinear(const CommandContext& c, std::span<const Node> nodes)
      : CudaCommand(c, nodes.front()), x_(input(c, nodes.front(), 0)) {
    for (const Node& node : nodes) {
      if (node.op == Op::add) {
        auto& matrix = matrices_.back();
        const bool first = node.inputs[0] == nodes.front().output;
        matrix.add = input(c, node, first ? 1 : 0);
        matrix.adds = true;
        matrix.y = output(c, node);
        require(matrix.add.stride == matrix.y.stride, "rows that are added have another stride");
        continue;
      }
      const auto& weight = weight_of(c, node, "weight");
      const auto* bias = find_weight(c, node, "bias");
      matrices_.push_back({.w = {weight.data, weight.format, weight.rows, weight.cols},
                           .bias = bias == nullptr ? nullptr : bias->floats(),
                           .y = output(c, node),
                           .add = {}});
    }
  }
  void submit(const StepContext& step) const noexcept override {
    std::array<ops::cuda::MatmulArgs, most_grouped> products;
    const int64_t tokens = rows(step);
    for (size_t i = 0; i < matrices_.size(); ++i) {
      const auto& matrix = matrices_[i];
      auto& args = products[i] = {.w = matrix.w,
                                  .x = bf16(step, x_),
                                  .x_stride = x_.stride,
                                  .tokens = tokens,
                                  .y_stride = matrix.y.stride};
      if (matrix.y.type == NumberType::bf16)
        args.y_bf16 = bf16(step, matrix.y);
      else
        args.y = f32(step, matrix.y);
      if (matrix.adds) args.add = f32(step, matrix.add);
    }
    const auto all = std::span(products).first(matrices_.size());
    ops::cuda::matmul_many(all, kit().matmul);
    for (size_t i = 0; i < all.size(); ++i)
      if (matrices_[i].bias != nullptr)
        ops::cuda::add_bias({.bias = matrices_[i].bias,
                             .y = all[i].y,
                             .y_bf16 = all[i].y_bf16,
                             .y_stride = all[i].y_stride,
                             .tokens = tokens,
                             .width = matrices_[i].y.width},
                            queue());
  }

 private:
  static_assert(most_grouped <= ops::cuda::most_products);
  struct Matrix {
    ops::cuda::PackedMatrix w;
    const float* bias;
    ValueRef y, add;
    bool adds = false;
  };
  ValueRef x_;
  std::vector<Matrix> matrices_;
};

// Gate, up and their SiLU product.
class CudaGated final : public CudaCommand {
 public:
  CudaGated(const CommandContext& c, std::span<const Node> nodes)
      : CudaCommand(c, nodes.front()),
        gate_(weight_of(c, nodes[0], "weight")),
        up_(weight_of(c, nodes[1], "weight")),
        x_(input(c, nodes.front(), 0)),
        up_to_(output(c, nodes[1])),
        y_(output(c, nodes[2])) {}
  void submit(const StepContext& step) const noexcept override {
    const auto matrix = [](const LoadedWeight& w) {
      return ops::cuda::PackedMatrix{w.data, w.format, w.rows, w.cols};
    };
    ops::cuda::gated({.gate = matrix(gate_),
                      .up = matrix(up_),
                      .x = bf16(step, x_),
                      .x_stride = x_.stride,
                      .tokens = rows(step),
                      .y = bf16(step, y_),
                      .y_stride = y_.stride,
                      .up_to = bf16(step, up_to_),
                      .up_stride = up_to_.stride},
                     kit().matmul);
  }

 private:
  const LoadedWeight &gate_, &up_;
  ValueRef x_, up_to_, y_;
};

class CudaSiluMul final : public CudaCommand {
 public:
  CudaSiluMul(const CommandContext& c, const Node& node)
      : CudaCommand(c, node),
        gate_(input(c, node, 0)),
        up_(input(c, node, 1)),
        y_(output(c, node)) {}
  void submit(const StepContext& step) const noexcept override {
    ops::cuda::silu_mul({.gate = bf16(step, gate_),
                         .gate_stride = gate_.stride,
                         .up = bf16(step, up_),
                         .up_stride = up_.stride,
                         .y = bf16(step, y_),
                         .y_stride = y_.stride,
                         .tokens = rows(step),
                         .width = y_.width},
                        queue());
  }

 private:
  ValueRef gate_, up_, y_;
};

class CudaConvert final : public CudaCommand {
 public:
  CudaConvert(const CommandContext& c, const Node& node)
      : CudaCommand(c, node), x_(input(c, node, 0)), y_(output(c, node)) {}
  void submit(const StepContext& step) const noexcept override {
    ops::cuda::ConvertArgs args{
        .from_stride = x_.stride, .to_stride = y_.stride, .tokens = rows(step), .width = y_.width};
    if (x_.type == NumberType::bf16)
      args.from_bf16 = bf16(step, x_);
    else
      args.from = f32(step, x_);
    if (y_.type == NumberType::bf16)
      args.to_bf16 = bf16(step, y_);
    else
      args.to = f32(step, y_);
    ops::cuda::convert(args, queue());
  }

 private:
  ValueRef x_, y_;
};

class CudaLastRows final : public CudaCommand {
 public:
  CudaLastRows(const CommandContext& c, const Node& node)
      : CudaCommand(c, node), x_(input(c, node, 0)), y_(output(c, node)) {}
  void submit(const StepContext& step) const noexcept override {
    ops::cuda::TakeRowsArgs args{.x = f32(step, x_),
                                 .x_stride = x_.stride,
                                 .y = f32(step, y_),
                                 .y_stride = y_.stride,
                                 .width = x_.width,
                                 .count = static_cast<int64_t>(step.logit_rows.size())};
    std::ranges::copy(step.logit_rows, args.rows);
    ops::cuda::take_rows(args, queue());
  }

 private:
  static_assert(graph::max_logit_rows <= ops::cuda::TakeRowsArgs::most_rows);
  ValueRef x_, y_;
};

// Gate and up with biases, then the SiLU product.
class CudaBiasedGated final : public Command {
 public:
  CudaBiasedGated(const CommandContext& c, std::span<const Node> nodes)
      : Command(nodes.front().place), linear_(c, nodes.first(2)), product_(c, nodes[2]) {}
  void run(const StepContext& step) const noexcept override {
    linear_.run(step);
    product_.run(step);
  }

 private:
  CudaLinear linear_;
  CudaSiluMul product_;
};

std::unique_ptr<Command> make_linear(const CommandContext& c, std::span<const Node> nodes) {
  if (nodes.back().op != Op::silu_mul) return std::make_unique<CudaLinear>(c, nodes);
  const auto has_bias = [&](const Node& node) { return find_weight(c, node, "bias") != nullptr; };
  if (has_bias(nodes[0]) || has_bias(nodes[1])) return std::make_unique<CudaBiasedGated>(c, nodes);
  return std::make_unique<CudaGated>(c, nodes);
}

}  // namespace

void CudaCommand::run(const StepContext& step) const noexcept {
  const device::CurrentGpu current(queue_.place().index);
  submit(step);
}

std::unique_ptr<Command> make_cuda_command(const CommandContext& c, std::span<const Node> nodes) {
  const auto& node = nodes.front();
  switch (node.op) {
    case Op::embedding:
      return std::make_unique<CudaEmbedding>(c, node);
    case Op::rms_norm:
      if (nodes.back().op == Op::mla) return make_cuda_attention(c, nodes);
      return std::make_unique<CudaNorm>(c, nodes);
    case Op::linear:
      return make_linear(c, nodes);
    case Op::silu_mul:
      return std::make_unique<CudaSiluMul>(c, node);
    case Op::add:
      if (nodes.size() > 1) return std::make_unique<CudaSumNorm>(c, nodes);
      return std::make_unique<CudaPair>(c, node, ops::cuda::add);
    case Op::scale_sigmoid:
      return std::make_unique<CudaPair>(c, node, ops::cuda::scale_sigmoid);
    case Op::router:
      return make_cuda_router(c, node);
    case Op::moe:
      return make_cuda_moe(c, node);
    case Op::last_rows:
      return std::make_unique<CudaLastRows>(c, node);
    case Op::mla:
    case Op::gqa:
      return make_cuda_attention(c, nodes);
    case Op::copy:
      return make_cuda_copy(c, nodes);
    case Op::convert:
      return std::make_unique<CudaConvert>(c, node);
  }
  throw_bug("an op without a command");
}

size_t cuda_scratch_bytes(const CommandContext& c, std::span<const Node> nodes) {
  const auto& node = nodes.back().op == Op::mla ? nodes.back() : nodes.front();
  switch (node.op) {
    case Op::router:
      return cuda_router_scratch(c, node);
    case Op::moe:
      return cuda_moe_scratch(c, node);
    case Op::mla:
    case Op::gqa:
      return cuda_attention_scratch(c, node);
    default:
      return 0;
  }
}

}  // namespace ktx::engine
