// Attention on GPUs.
#include <algorithm>

#include "core/device/cuda.hpp"
#include "engine/run/cuda_commands.hpp"
#include "ops/attention/cuda.hpp"
#include "ops/linear/linear.hpp"

namespace ktx::engine {

using graph::Node;

namespace {

using ops::cuda::Prompt;

/// The rows of a step as attention takes them: a few of each sequence first, then prompts.
struct RowsOfStep {
  int64_t decode_rows = 0;
  std::span<const Prompt> prompts;
};

// A recorded step has no prompts: it has few rows, and the GPU reads from memory which sequence
// each row belongs to.
RowsOfStep rows_of_step(const StepContext& step) noexcept {
  if (step.submission == Submission::recorded) return {.decode_rows = step.rows, .prompts = {}};
  const auto& sequences = step.batch.sequences;
  const auto first = std::ranges::find_if(
      sequences, [](const Sequence& s) { return s.rows > ops::decode_tokens; });
  auto& prompts = step.workspace.prompts;
  size_t count = 0;
  for (auto s = first; s != sequences.end(); ++s)
    prompts[count++] = {.sequence = static_cast<int32_t>(s - sequences.begin()),
                        .first_row = s->first_row,
                        .rows = s->rows,
                        .past = s->past};
  return {.decode_rows = first == sequences.end() ? step.rows : first->first_row,
          .prompts = std::span(prompts).first(count)};
}

ops::cuda::Rope rope_on(const PlacedRope& rope, int gpu) {
  return {.cos_sin = rope.on_gpus[static_cast<size_t>(gpu)].as<float>(),
          .pairs = static_cast<int>(rope.rope.frequency.size()),
          .interleaved = rope.rope.interleaved};
}

ops::cuda::StepShape step_shape(const CommandContext& c) {
  const bool prompts = c.max_sequence_rows > ops::decode_tokens;  // as rows_of_step() says
  return {.rows = c.max_rows,
          .decode_rows = std::min(c.max_rows, ops::decode_tokens * c.max_sequences),
          .tokens = prompts ? c.plan->cache_length : 0};
}

class CudaMla final : public CudaCommand {
 public:
  CudaMla(const CommandContext& c, std::span<const Node> nodes) : CudaMla(c, nodes.back()) {
    if (nodes.size() == 1) return;
    const Node& norm = nodes.front();
    const auto& weight = weight_of(c, norm, "weight");
    latent_ = input(c, norm, 0);
    args_.latent_norm = weight.floats();
    args_.eps = std::get<graph::NormParams>(norm.params).eps;
  }
  CudaMla(const CommandContext& c, const Node& node)
      : CudaCommand(c, node),
        params_(std::get<graph::MlaParams>(node.params)),
        q_(input(c, node, 0)),
        latent_(input(c, node, 1)),
        k_rope_(input(c, node, 2)),
        y_(output(c, node)) {
    const auto matrices = [&](std::string_view role) {
      const LoadedWeight& weight = weight_of(c, node, role);
      return ops::cuda::HeadMatrices{weight.data, weight.format};
    };
    args_ = {.params = &params_,
             .k_b = matrices("k_b"),
             .v_b = matrices("v_b"),
             .rope = rope_on(c.ropes->get(params_.rotary, node.place), node.place),
             .batch = {},
             .cache = {},
             .prompts = {}};
  }
  void submit(const StepContext& step) const noexcept override {
    const RowsOfStep of_step = rows_of_step(step);
    auto args = args_;
    args.batch = cuda_batch(step, place());
    args.cache = step.cache.cache(params_.cache);
    args.decode_rows = of_step.decode_rows;
    args.prompts = of_step.prompts;
    args.q.bf16 = bf16(step, q_);
    args.q_stride = q_.stride;
    args.latent = f32(step, latent_);
    args.latent_stride = latent_.stride;
    args.k_rope = f32(step, k_rope_);
    args.k_rope_stride = k_rope_.stride;
    args.out = bf16(step, y_);
    args.scratch = scratch(step);
    ops::cuda::mla(args, kit().heads, queue());
  }

 private:
  graph::MlaParams params_;
  ValueRef q_, latent_, k_rope_, y_;
  ops::cuda::MlaArgs args_;
};

class CudaGqa final : public CudaCommand {
 public:
  CudaGqa(const CommandContext& c, const Node& node)
      : CudaCommand(c, node),
        params_(std::get<graph::GqaParams>(node.params)),
        q_(input(c, node, 0)),
        k_(input(c, node, 1)),
        v_(input(c, node, 2)),
        y_(output(c, node)),
        rope_(rope_on(c.ropes->get(params_.rotary, node.place), node.place)) {}
  void submit(const StepContext& step) const noexcept override {
    const RowsOfStep of_step = rows_of_step(step);
    ops::cuda::gqa({.params = &params_,
                    .rope = rope_,
                    .batch = cuda_batch(step, place()),
                    .cache = step.cache.cache(params_.cache),
                    .decode_rows = of_step.decode_rows,
                    .prompts = of_step.prompts,
                    .q = f32(step, q_),
                    .q_stride = q_.stride,
                    .k = f32(step, k_),
                    .k_stride = k_.stride,
                    .v = f32(step, v_),
                    .v_stride = v_.stride,
                    .out = bf16(step, y_),
                    .scratch = scratch(step)},
                   queue());
  }

 private:
  graph::GqaParams params_;
  ValueRef q_, k_, v_, y_;
  ops::cuda::Rope rope_;
};

}  // namespace

ops::cuda::Batch cuda_batch(const StepContext& step, int gpu) noexcept {
  const auto& inputs = step.workspace.inputs(gpu);
  const bool recorded = step.submission == Submission::recorded;
  return {.rows = step.rows,
          .sequences = recorded ? inputs.shape().sequences
                                : static_cast<int64_t>(step.batch.sequences.size()),
          .first_row = inputs.first_row(),
          .row_count = inputs.row_count(),
          .past = inputs.past(),
          .pages = inputs.pages(),
          .most_pages = inputs.shape().pages,
          .sequence_of = inputs.sequence_of(),
          .position_of = inputs.position_of(),
          .pages_before = inputs.pages_before()};
}

std::unique_ptr<Command> make_cuda_attention(const CommandContext& c, std::span<const Node> nodes) {
  if (nodes.back().op == graph::Op::mla) return std::make_unique<CudaMla>(c, nodes);
  return std::make_unique<CudaGqa>(c, nodes.front());
}

size_t cuda_attention_scratch(const CommandContext& c, const Node& node) {
  if (const auto* mla = std::get_if<graph::MlaParams>(&node.params)) {
    int multiprocessors = c.multiprocessors(node.place);
    if (c.devices != nullptr) {  // the card that is here may be larger than the plan's
      const int here = c.place(node.place).index;
      multiprocessors = std::max(multiprocessors, device::limits_of(here).multiprocessors);
    }
    const ops::cuda::MlaFormats formats{weight_of(c, node, "k_b").format,
                                        weight_of(c, node, "v_b").format};
    return ops::cuda::mla_scratch_bytes(*mla, formats, step_shape(c), multiprocessors);
  }
  return ops::cuda::gqa_scratch_bytes(std::get<graph::GqaParams>(node.params), step_shape(c));
}

}  // namespace ktx::engine
