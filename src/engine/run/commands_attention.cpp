// The commands of attention: they append to the sequences' pages and read all of them.
#include "core/base/error.hpp"
#include "engine/run/commands_internal.hpp"
#include "ops/attention/gqa.hpp"
#include "ops/attention/mla.hpp"

namespace ktx::engine {

namespace {

// The kernels that the plan names for a module, in each phase.
struct Kernels {
  Kernels(const CommandContext& c, const graph::Node& node)
      : decode(find(c.plan->find(node.module)->decode)),
        prefill(find(c.plan->find(node.module)->prefill)) {}
  static const ops::AttentionKernel* find(const placement::KernelPick& pick) {
    const auto* kernel = ops::find_attention_kernel(pick.name);
    require(kernel != nullptr, "the plan names an attention kernel that does not exist");
    return kernel;
  }
  const ops::AttentionKernel *decode, *prefill;
};

// One matrix per head, and the rows of it that each NUMA node holds.
struct Heads {
  std::vector<ops::NodeRows> nodes;  // [heads, nodes], or empty
  std::vector<ops::PackedMatrix> matrices;
};

Heads head_matrices(const CommandContext& c, const graph::Node& node, std::string_view role) {
  const auto& weight = c.weights->get(node.module, role);
  const Kernels kernels(c, node);
  const auto matmul = [&](const ops::AttentionKernel& kernel) {
    return &ops::mla_matmul_kernel(kernel, c.plan->machine.isa, weight.format, weight.rows,
                                   weight.cols);
  };
  Heads heads;
  for (int64_t head = 0; head < weight.count; ++head)
    for (auto held : weight.nodes) {
      if (held.data != nullptr) held.data += head * held.matrix_bytes;
      heads.nodes.push_back(held);
    }
  const size_t nodes = weight.nodes.size();
  for (int64_t head = 0; head < weight.count; ++head)
    heads.matrices.push_back(
        {.data = weight.data + head * weight.matrix_bytes,
         .format = weight.format,
         .rows = weight.rows,
         .cols = weight.cols,
         .decode = matmul(*kernels.decode),
         .prefill = matmul(*kernels.prefill),
         .nodes = std::span(heads.nodes).subspan(static_cast<size_t>(head) * nodes, nodes)});
  return heads;
}

/// The batch's sequences as attention reads them.
std::span<const ops::SequenceRows> sequence_rows(const StepContext& step, const Kernels& kernels) {
  auto& out = step.workspace.sequences;
  size_t count = 0;
  for (const auto& sequence : step.batch.sequences) {
    const bool decode = sequence.phase == Phase::decode || sequence.rows == 1;
    out[count++] = {.first_row = sequence.first_row,
                    .rows = sequence.rows,
                    .past = sequence.past,
                    .pages = sequence.pages,
                    .kernel = decode ? kernels.decode : kernels.prefill};
  }
  return std::span(out).first(count);
}

class MlaCommand final : public Command {
 public:
  MlaCommand(const CommandContext& c, const graph::Node& node)
      : Command(node.place),
        params_(std::get<graph::MlaParams>(node.params)),
        k_b_(head_matrices(c, node, "k_b")),
        v_b_(head_matrices(c, node, "v_b")),
        kernels_(c, node),
        q_(input(c, node, 0)),
        latent_(input(c, node, 1)),
        k_rope_(input(c, node, 2)),
        y_(output(c, node)),
        rope_(&c.ropes->get(params_.rotary, node.place).table) {}
  void run(const StepContext& step) const noexcept override {
    auto& workspace = step.workspace;
    const auto q = workspace.view(q_), latent = workspace.view(latent_);
    const auto k_rope = workspace.view(k_rope_), y = workspace.view(y_);
    ops::mla({.params = &params_,
              .k_b = k_b_.matrices.data(),
              .v_b = v_b_.matrices.data(),
              .rope = rope_,
              .q = q.data,
              .q_stride = q.stride,
              .latent = latent.data,
              .latent_stride = latent.stride,
              .k_rope = k_rope.data,
              .k_rope_stride = k_rope.stride,
              .out = y.data,
              .out_stride = y.stride,
              .cache = step.cache.cache(params_.cache),
              .sequences = sequence_rows(step, kernels_),
              .scratch = workspace.scratch(place())},
             step.pool);
  }

 private:
  graph::MlaParams params_;
  Heads k_b_, v_b_;
  Kernels kernels_;
  ValueRef q_, latent_, k_rope_, y_;
  const ops::RopeTable* rope_;
};

class GqaCommand final : public Command {
 public:
  GqaCommand(const CommandContext& c, const graph::Node& node)
      : Command(node.place),
        params_(std::get<graph::GqaParams>(node.params)),
        kernels_(c, node),
        q_(input(c, node, 0)),
        k_(input(c, node, 1)),
        v_(input(c, node, 2)),
        y_(output(c, node)),
        rope_(&c.ropes->get(params_.rotary, node.place).table) {}
  void run(const StepContext& step) const noexcept override {
    auto& workspace = step.workspace;
    const auto q = workspace.view(q_), k = workspace.view(k_);
    const auto v = workspace.view(v_), y = workspace.view(y_);
    ops::gqa({.params = &params_,
              .rope = rope_,
              .q = q.data,
              .q_stride = q.stride,
              .k = k.data,
              .k_stride = k.stride,
              .v = v.data,
              .v_stride = v.stride,
              .out = y.data,
              .out_stride = y.stride,
              .cache = step.cache.cache(params_.cache),
              .sequences = sequence_rows(step, kernels_),
              .scratch = workspace.scratch(place())},
             step.pool);
  }

 private:
  graph::GqaParams params_;
  Kernels kernels_;
  ValueRef q_, k_, v_, y_;
  const ops::RopeTable* rope_;
};

}  // namespace

std::unique_ptr<Command> make_mla_command(const CommandContext& context, const graph::Node& node) {
  return std::make_unique<MlaCommand>(context, node);
}

std::unique_ptr<Command> make_gqa_command(const CommandContext& context, const graph::Node& node) {
  return std::make_unique<GqaCommand>(context, node);
}

size_t mla_scratch(const CommandContext& c, const graph::Node& node) {
  const Kernels kernels(c, node);
  return ops::mla_scratch_bytes({kernels.decode, kernels.prefill},
                                std::get<graph::MlaParams>(node.params),
                                head_matrices(c, node, "k_b").matrices.front(),
                                head_matrices(c, node, "v_b").matrices.front(),
                                {.rows = c.max_rows, .sequences = c.max_sequences}, c.workers);
}

size_t gqa_scratch(const CommandContext& c, const graph::Node& node) {
  const Kernels kernels(c, node);
  return ops::gqa_scratch_bytes({kernels.decode, kernels.prefill},
                                std::get<graph::GqaParams>(node.params),
                                {.rows = c.max_rows, .sequences = c.max_sequences}, c.workers);
}

}  // namespace ktx::engine
