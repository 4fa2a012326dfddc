// Formats and bytes of weights.
#include "placement/weights.hpp"

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "ops/matmul/matmul.hpp"
#include "placement/values.hpp"

namespace ktx::placement {

namespace {

using quant::Format;

bool has_blocks(Format format) noexcept {
  return format != Format::f32 && format != Format::f16 && format != Format::bf16;
}

std::string weight_text(const graph::Module& module, const graph::Weight& weight) {
  return "weight '" + weight.role + "' of " + module.path;
}

std::string fitting_formats(int64_t cols) {
  std::vector<std::string> names;
  for (const auto& row : quant::formats())
    if (row.encode != nullptr && quant::fits(row.format, cols)) names.emplace_back(row.name);
  return base::join(names);
}

void check_fits(const Decision& decision, const graph::Weight& weight, Format format) {
  if (quant::fits(format, weight.cols)) return;
  const std::string name(quant::name(format));
  throw_input("format " + name + " can't store " + weight_text(*decision.module, weight) +
                  ": its rows have " + std::to_string(weight.cols) +
                  " numbers, not a multiple of " + std::to_string(quant::info(format).block),
              decision.format_where,
              {"formats that fit: keep, " + fitting_formats(weight.cols),
               "give such modules a rule of their own before this one"});
}

Format kept_format(const Decision& decision, const graph::Weight& weight) {
  if (weight.transposed && has_blocks(weight.source)) return Format::f32;
  check_fits(decision, weight, weight.source);
  return weight.source;
}

// A GPU reads k_b and v_b as bf16 or int8: as int8 where they are, or shall be, of 8 bits or fewer.
// Of q8_0 and fp8, which have a scale for every few columns, it would lose too much.
Format choose_latent_format(const Decision& decision, const graph::Weight& weight) {
  const double bits = quant::bits_per_weight(decision.format.value_or(weight.source));
  return bits <= quant::bits_per_weight(Format::int8) ? Format::int8 : Format::bf16;
}

Format choose_format(const Decision& decision, const graph::Weight& weight) {
  if (always_f32(decision.op, weight)) return Format::f32;
  if (decision.op == graph::Op::mla && is_gpu(decision.device))
    return choose_latent_format(decision, weight);
  if (!decision.format) return kept_format(decision, weight);
  const Format format = *decision.format;
  const bool stored_so = format == weight.source && !(weight.transposed && has_blocks(format));
  if (!stored_so && quant::info(format).encode == nullptr)
    throw_input("format " + std::string(quant::name(format)) +
                    ": ktx runs it where the checkpoint has it, but does not quantize to it; " +
                    weight_text(*decision.module, weight) + " is " +
                    std::string(quant::name(weight.source)),
                decision.format_where,
                {"use keep or one of: " + base::join(quant::encodable_names())});
  check_fits(decision, weight, format);
  return format;
}

}  // namespace

bool always_f32(graph::Op op, const graph::Weight& weight) noexcept {
  return !graph::info(op).owns_matrix || weight.is_vector();
}

std::vector<Format> choose_formats(const Decision& decision) {
  std::vector<Format> formats;
  for (const auto& weight : decision.module->weights)
    formats.push_back(choose_format(decision, weight));
  return formats;
}

std::string format_text(const PlannedWeight& weight, bool transposed) {
  std::vector<std::string> notes;
  if (weight.source != weight.format)
    notes.push_back("from " + std::string(quant::name(weight.source)));
  if (transposed) notes.emplace_back("transposed");
  const std::string text(quant::name(weight.format));
  return notes.empty() ? text : text + " (" + base::join(notes) + ")";
}

uint64_t packed_bytes(const graph::Weight& weight, Format format, ops::Layout layout) {
  return static_cast<uint64_t>(weight.count) *
         static_cast<uint64_t>(ops::packed_bytes(layout, format, weight.rows, weight.cols));
}

std::vector<double> read_share(const Plan& plan) {
  const auto& model = plan.model;
  std::vector<double> share(model.modules.size(), 1.0);
  for (const auto& node : model.graph.nodes) {
    if (node.module < 0) continue;
    auto& of_module = share[static_cast<size_t>(node.module)];
    if (const auto* moe = std::get_if<graph::MoeParams>(&node.params))
      of_module = static_cast<double>(plan.experts_per_token[static_cast<size_t>(node.layer)]) /
                  moe->experts;
    if (node.op == graph::Op::embedding) {
      const auto& weights = model.modules[static_cast<size_t>(node.module)].weights;
      of_module = weights.empty() ? 0 : 1.0 / static_cast<double>(weights.front().rows);
    }
  }
  return share;
}

}  // namespace ktx::placement
