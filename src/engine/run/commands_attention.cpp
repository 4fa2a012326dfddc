// The commands of attention: they append to the session's cache and read all of it.
#include <algorithm>

#include "core/base/error.hpp"
#include "engine/run/commands_internal.hpp"
#include "ops/attention/gqa.hpp"
#include "ops/attention/mla.hpp"

namespace ktx::engine {

namespace {

// What the plan named for a module, in each phase.
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

// One matrix a head, and what each NUMA node holds of it.
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

class MlaCommand final : public Command {
 public:
  MlaCommand(const CommandContext& c, const graph::Node& node)
      : params_(std::get<graph::MlaParams>(node.params)),
        k_b_(head_matrices(c, node, "k_b")),
        v_b_(head_matrices(c, node, "v_b")),
        kernels_(c, node) {
    const auto q = input(c, node, 0), latent = input(c, node, 1), k_rope = input(c, node, 2);
    const auto y = output(c, node);
    args_ = {.params = &params_,
             .k_b = k_b_.matrices.data(),
             .v_b = v_b_.matrices.data(),
             .rope = c.rope_table(params_.rotary),
             .q = q.data,
             .q_stride = q.stride,
             .latent = latent.data,
             .latent_stride = latent.stride,
             .k_rope = k_rope.data,
             .k_rope_stride = k_rope.stride,
             .out = y.data,
             .out_stride = y.stride,
             .scratch = c.scratch};
  }
  void run(const Step& step, hw::WorkerPool& pool) noexcept override {
    args_.cache = step.cache->data(params_.cache);
    args_.past = step.past;
    args_.tokens = step.tokens;
    args_.kernel = step.tokens == 1 ? kernels_.decode : kernels_.prefill;
    ops::mla(args_, pool);
  }

 private:
  graph::MlaParams params_;
  Heads k_b_, v_b_;
  Kernels kernels_;
  ops::MlaArgs args_;
};

class GqaCommand final : public Command {
 public:
  GqaCommand(const CommandContext& c, const graph::Node& node)
      : params_(std::get<graph::GqaParams>(node.params)), kernels_(c, node) {
    const auto q = input(c, node, 0), k = input(c, node, 1), v = input(c, node, 2);
    const auto y = output(c, node);
    args_ = {.params = &params_,
             .rope = c.rope_table(params_.rotary),
             .q = q.data,
             .q_stride = q.stride,
             .k = k.data,
             .k_stride = k.stride,
             .v = v.data,
             .v_stride = v.stride,
             .out = y.data,
             .out_stride = y.stride,
             .scratch = c.scratch};
  }
  void run(const Step& step, hw::WorkerPool& pool) noexcept override {
    // Keys of all positions first, then values.
    args_.k_cache = step.cache->data(params_.cache);
    args_.v_cache = args_.k_cache + step.cache->capacity() * params_.kv_heads * params_.head;
    args_.past = step.past;
    args_.tokens = step.tokens;
    args_.kernel = step.tokens == 1 ? kernels_.decode : kernels_.prefill;
    ops::gqa(args_, pool);
  }

 private:
  graph::GqaParams params_;
  Kernels kernels_;
  ops::GqaArgs args_;
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
  const auto bytes = [&](const ops::AttentionKernel& kernel) {
    return ops::mla_scratch_bytes(kernel, std::get<graph::MlaParams>(node.params),
                                  head_matrices(c, node, "k_b").matrices.front(),
                                  head_matrices(c, node, "v_b").matrices.front(), c.max_tokens,
                                  c.workers);
  };
  return std::max(bytes(*kernels.decode), bytes(*kernels.prefill));
}

size_t gqa_scratch(const CommandContext& c, const graph::Node& node) {
  const Kernels kernels(c, node);
  const auto bytes = [&](const ops::AttentionKernel& kernel) {
    return ops::gqa_scratch_bytes(kernel, std::get<graph::GqaParams>(node.params), c.max_tokens,
                                  c.workers);
  };
  return std::max(bytes(*kernels.decode), bytes(*kernels.prefill));
}

}  // namespace ktx::engine
