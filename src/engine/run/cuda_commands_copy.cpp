// Copies between places, and the handshake between the CPU and GPUs.
#include <array>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "engine/run/cuda_commands.hpp"

namespace ktx::engine {

using graph::Node;

namespace {

constexpr size_t most_copies = std::tuple_size_v<device::Pieces>;

/// Rows of one value to be copied.
struct Rows {
  const std::byte* from;
  std::byte* to;
  int64_t from_stride, to_stride, width;  // of 4-byte numbers
};

/// The values of some copy nodes. A routing is two: ids and weights.
class Crossing {
 public:
  Crossing(const CommandContext& c, std::span<const Node> nodes) : max_rows_(c.max_rows) {
    for (const Node& node : nodes) copies_.emplace_back(input(c, node, 0), output(c, node));
    size_t count = 0;
    for (const auto& [from, to] : copies_) count += from.routing ? 2 : 1;
    require(count <= most_copies, "too many values cross at once");
  }

  /// Calls f(Rows) for each.
  template <class F>
  void each(Workspace& workspace, const F& f) const noexcept {
    for (const auto& [from, to] : copies_) {
      Rows rows{workspace.data(from), workspace.data(to), from.stride, to.stride, from.width};
      f(rows);
      if (!from.routing) continue;
      const int64_t weights = max_rows_ * from.width * static_cast<int64_t>(sizeof(int32_t));
      rows.from += weights;
      rows.to += weights;
      f(rows);
    }
  }

  /// All of them, as arguments of the handshake.
  device::Pieces pieces(Workspace& workspace, int64_t rows) const noexcept {
    device::Pieces pieces{};
    size_t count = 0;
    each(workspace, [&](const Rows& r) {
      pieces[count++] = {.from = r.from,
                         .to = r.to,
                         .rows = static_cast<int32_t>(rows),
                         .width = static_cast<int32_t>(r.width),
                         .from_stride = r.from_stride,
                         .to_stride = r.to_stride};
    });
    return pieces;
  }

  void copy(Workspace& workspace, int64_t rows, device::Queue& queue) const noexcept {
    each(workspace, [&](const Rows& r) {
      constexpr int64_t bytes = sizeof(float);
      queue.copy_rows({.to = r.to,
                       .to_stride = static_cast<size_t>(r.to_stride * bytes),
                       .from = r.from,
                       .from_stride = static_cast<size_t>(r.from_stride * bytes),
                       .row_bytes = static_cast<size_t>(r.width * bytes),
                       .rows = static_cast<size_t>(rows)});
    });
  }

 private:
  std::vector<std::pair<ValueRef, ValueRef>> copies_;
  int64_t max_rows_;
};

class CopyToCpu final : public CudaCommand {
 public:
  CopyToCpu(const CommandContext& c, std::span<const Node> nodes)
      : CudaCommand(c, input(c, nodes.front(), 0).place, in_tail(c, nodes.front())),
        crossing_(c, nodes) {}
  void submit(const StepContext& step) const noexcept override {
    if (step.submission == Submission::recorded)
      return kit().handshake.post(crossing_.pieces(step.workspace, step.rows));
    crossing_.copy(step.workspace, rows(step), queue());
    queue().record(*kit().posted);
  }

 private:
  Crossing crossing_;
};

class CopyToGpu final : public CudaCommand {
 public:
  CopyToGpu(const CommandContext& c, std::span<const Node> nodes)
      : CudaCommand(c, nodes.front()), crossing_(c, nodes) {}
  void submit(const StepContext& step) const noexcept override {
    if (step.submission == Submission::recorded)
      return kit().handshake.wait(crossing_.pieces(step.workspace, step.rows));
    crossing_.copy(step.workspace, rows(step), queue());
  }

 private:
  Crossing crossing_;
};

// The same, for a value that is added to another one when it arrives.
class CopyToSum final : public CudaCommand {
 public:
  CopyToSum(const CommandContext& c, std::span<const Node> nodes)
      : CudaCommand(c, nodes.front()),
        crossing_(c, nodes.first(1)),
        copied_(output(c, nodes[0])),
        add_(input(c, nodes[1], nodes[1].inputs[0] == nodes[0].output ? 1 : 0)),
        sum_(output(c, nodes[1])) {}
  void submit(const StepContext& step) const noexcept override {
    if (step.submission == Submission::recorded) {
      auto pieces = crossing_.pieces(step.workspace, step.rows);
      auto& piece = pieces.front();
      piece.to = f32(step, sum_);
      piece.to_stride = sum_.stride;
      piece.add = f32(step, add_);
      piece.add_stride = add_.stride;
      return kit().handshake.wait(pieces);
    }
    crossing_.copy(step.workspace, rows(step), queue());
    ops::cuda::add(pair(step, copied_, add_, sum_), queue());
  }

 private:
  Crossing crossing_;
  ValueRef copied_, add_, sum_;
};

// The source continues only after the copy, because it may reuse the memory.
class CopyBetweenGpus final : public CudaCommand {
 public:
  CopyBetweenGpus(const CommandContext& c, std::span<const Node> nodes)
      : CudaCommand(c, nodes.front()),
        crossing_(c, nodes),
        source_(c.devices->queue(input(c, nodes.front(), 0).place)),
        ready_(source_.make_event()),
        done_(queue().make_event()) {}
  void submit(const StepContext& step) const noexcept override {
    source_.record(*ready_);
    queue().wait(*ready_);
    crossing_.copy(step.workspace, rows(step), queue());
    queue().record(*done_);
    source_.wait(*done_);
  }

 private:
  Crossing crossing_;
  device::Queue& source_;
  std::unique_ptr<device::Event> ready_, done_;
};

class InputsCommand final : public CudaCommand {
 public:
  InputsCommand(const CommandContext& c, int gpu) : CudaCommand(c, gpu, false) {}
  void submit(const StepContext& step) const noexcept override {
    auto& inputs = step.workspace.inputs(place());
    inputs.upload();
    if (step.submission == Submission::direct) inputs.mark_uploaded();
    ops::cuda::number_rows(cuda_batch(step, place()), queue());
  }
};

// A GPU's flag without data, for steps in which the CPU answers without having received anything.
class PostCommand final : public CudaCommand {
 public:
  PostCommand(const CommandContext& c, int gpu) : CudaCommand(c, gpu, false) {}
  void submit(const StepContext& step) const noexcept override {
    if (step.submission == Submission::recorded) kit().handshake.post({});
  }
};

class ReceiveCommand final : public Command {
 public:
  ReceiveCommand(const CommandContext& c, int gpu)
      : Command(0), queue_(c.devices->queue(gpu)), kit_(c.devices->kit(gpu)) {}
  void run(const StepContext& step) const noexcept override {
    if (step.submission == Submission::recorded) {
      step.workspace.failed = !kit_.handshake.wait_posted();
      return;
    }
    kit_.posted->synchronize();
    step.workspace.failed = queue_.failed();
  }

 private:
  device::Queue& queue_;
  CudaKit& kit_;
};

class AnswerCommand final : public Command {
 public:
  AnswerCommand(const CommandContext& c, int gpu) : Command(0), kit_(c.devices->kit(gpu)) {}
  void run(const StepContext& step) const noexcept override {
    if (step.submission == Submission::recorded) kit_.handshake.answer();
  }

 private:
  CudaKit& kit_;
};

}  // namespace

std::unique_ptr<Command> make_cuda_copy(const CommandContext& c, std::span<const Node> nodes) {
  if (!c.is_gpu(nodes.front().place)) return std::make_unique<CopyToCpu>(c, nodes);
  if (nodes.back().op == graph::Op::add) return std::make_unique<CopyToSum>(c, nodes);
  if (!c.is_gpu(input(c, nodes.front(), 0).place)) return std::make_unique<CopyToGpu>(c, nodes);
  return std::make_unique<CopyBetweenGpus>(c, nodes);
}

std::unique_ptr<Command> make_inputs_command(const CommandContext& c, int gpu) {
  return std::make_unique<InputsCommand>(c, gpu);
}
std::unique_ptr<Command> make_post_command(const CommandContext& c, int gpu) {
  return std::make_unique<PostCommand>(c, gpu);
}
std::unique_ptr<Command> make_receive_command(const CommandContext& c, int gpu) {
  return std::make_unique<ReceiveCommand>(c, gpu);
}
std::unique_ptr<Command> make_answer_command(const CommandContext& c, int gpu) {
  return std::make_unique<AnswerCommand>(c, gpu);
}

}  // namespace ktx::engine
