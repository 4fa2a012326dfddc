// The router and routed experts on GPUs.
#include <algorithm>
#include <vector>

#include "core/base/error.hpp"
#include "engine/run/cuda_commands.hpp"
#include "ops/moe/cuda.hpp"
#include "ops/router/cuda.hpp"

namespace ktx::engine {

using graph::Node;

namespace {

class CudaRouter final : public CudaCommand {
 public:
  CudaRouter(const CommandContext& c, const Node& node)
      : CudaCommand(c, node),
        params_(std::get<graph::RouterParams>(node.params)),
        x_(input(c, node, 0)),
        y_(output(c, node)),
        max_rows_(c.max_rows),
        default_experts_(c.plan->experts_per_token[static_cast<size_t>(node.layer)]) {
    const auto& weight = weight_of(c, node, "weight");
    const auto* bias = find_weight(c, node, "bias");
    args_ = {.params = &params_,
             .hidden = weight.cols,
             .weight = weight.floats(),
             .bias = bias == nullptr ? nullptr : bias->floats(),
             .most = y_.width};
  }
  void submit(const StepContext& step) const noexcept override {
    const auto chosen = routing(step.workspace, y_, max_rows_);
    auto args = args_;
    args.x = f32(step, x_);
    args.x_stride = x_.stride;
    args.rows = step.rows;
    args.experts_per_token = step.workspace.inputs(place()).experts_per_token(default_experts_);
    args.ids = chosen.ids;
    args.weights = chosen.weights;
    args.scratch = scratch(step);
    args.arrived = kit().arrived.as<unsigned>();
    ops::cuda::router(args, queue());
  }

 private:
  graph::RouterParams params_;
  ValueRef x_, y_;
  int64_t max_rows_;
  int default_experts_;
  ops::cuda::RouterArgs args_;
};

/// Rows that experts process at a time, as many as this scratch holds: the more rows, the less
/// often each expert is read.
constexpr int64_t most_scratch = int64_t{512} << 20, least_rows = 512;

int64_t expert_rows(const ops::cuda::MoeArgs& shape, int64_t max_rows) {
  const int64_t row = ops::cuda::moe_scratch_bytes(shape, 1, shape.top_k);
  return std::min(max_rows, std::max(least_rows, most_scratch / row / 64 * 64));
}

// Experts that are resident in the GPU's memory.
class CudaMoe final : public CudaCommand {
 public:
  CudaMoe(const CommandContext& c, const Node& node)
      : CudaCommand(c, node),
        x_(input(c, node, 0)),
        routing_(input(c, node, 1)),
        y_(output(c, node)),
        max_rows_(c.max_rows),
        args_(moe_shape(node, weight_of(c, node, "gate"), weight_of(c, node, "down"))) {
    const auto& gate = weight_of(c, node, "gate");
    const auto& up = weight_of(c, node, "up");
    const auto& down = weight_of(c, node, "down");
    std::vector<ops::cuda::ExpertWeights> table(static_cast<size_t>(args_.experts));
    const auto matrix = [](const LoadedWeight& weight, int64_t i) {
      return reinterpret_cast<const uint8_t*>(weight.data + i * weight.matrix_bytes);
    };
    for (int64_t i = 0; i < gate.held_count(); ++i)
      table[static_cast<size_t>(gate.matrix(i))] = {matrix(gate, i), matrix(up, i),
                                                    matrix(down, i)};
    const size_t bytes = table.size() * sizeof(table.front());
    table_ = device::alloc(c.place(node.place), bytes);
    queue().copy(table_.data(), table.data(), bytes);
    queue().synchronize();
    args_.table = table_.as<ops::cuda::ExpertWeights>();
    rows_ = expert_rows(args_, max_rows_);
    args_.scratch_pairs = rows_ * args_.top_k;
  }
  void submit(const StepContext& step) const noexcept override {
    const auto chosen = routing(step.workspace, routing_, max_rows_);
    for (int64_t row = 0; row < step.rows; row += rows_) {
      auto args = args_;
      args.x = bf16(step, x_) + row * x_.stride;
      args.x_stride = x_.stride;
      args.tokens = std::min(rows_, step.rows - row);
      args.ids = chosen.ids + row * args.top_k;
      args.weights = chosen.weights + row * args.top_k;
      args.y = f32(step, y_) + row * y_.stride;
      args.y_stride = y_.stride;
      args.scratch = scratch(step);
      ops::cuda::moe(args, queue());
    }
  }

 private:
  ValueRef x_, routing_, y_;
  int64_t max_rows_;
  int64_t rows_ = 0;
  ops::cuda::MoeArgs args_;
  device::Block table_;
};

}  // namespace

ops::cuda::MoeArgs moe_shape(const Node& node, const LoadedWeight& gate, const LoadedWeight& down) {
  const auto& params = std::get<graph::MoeParams>(node.params);
  return {.top_k = params.top_k,
          .experts = params.experts,
          .hidden = params.hidden,
          .intermediate = params.intermediate,
          .gate_up = gate.format,
          .down = down.format};
}

std::unique_ptr<Command> make_cuda_router(const CommandContext& c, const Node& node) {
  return std::make_unique<CudaRouter>(c, node);
}

std::unique_ptr<Command> make_cuda_moe(const CommandContext& c, const Node& node) {
  return c.streams(node.module) ? make_cuda_streamed_moe(c, node) : make_cuda_resident_moe(c, node);
}

std::unique_ptr<Command> make_cuda_resident_moe(const CommandContext& c, const Node& node) {
  return std::make_unique<CudaMoe>(c, node);
}

size_t cuda_router_scratch(const CommandContext& c, const Node& node) {
  return ops::cuda::router_scratch_bytes(std::get<graph::RouterParams>(node.params),
                                         input(c, node, 0).width, c.max_rows);
}

size_t cuda_moe_scratch(const CommandContext& c, const Node& node) {
  return c.streams(node.module) ? cuda_streamed_moe_scratch(c, node)
                                : cuda_resident_moe_scratch(c, node);
}

size_t cuda_resident_moe_scratch(const CommandContext& c, const Node& node) {
  const auto shape = moe_shape(node, weight_of(c, node, "gate"), weight_of(c, node, "down"));
  const int64_t rows = expert_rows(shape, c.max_rows);
  return static_cast<size_t>(ops::cuda::moe_scratch_bytes(shape, rows, rows * shape.top_k));
}

}  // namespace ktx::engine
