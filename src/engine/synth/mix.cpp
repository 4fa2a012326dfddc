// Mixes: which format each tensor of a published checkpoint has.
#include "engine/synth/mix.hpp"

#include <charconv>

#include "core/base/error.hpp"
#include "core/base/text.hpp"

namespace ktx::engine {
namespace {

using quant::Format;

constexpr Mix table[] = {
    {"q4_k_m", "q4_k, and q6_k where it matters most", Format::q4_k, true, false, 15},
    {"q4_k", "every matrix in q4_k", Format::q4_k, true, false, 14},
    {"q2_k_xl", "experts in q2_k, the first in q3_k; attention in q4_k, others in q6_k",
     Format::q6_k, true, false, 10},
    {"iq2_xxs", "experts in iq2_xxs, their down projections in q2_k; others as in q2_k_xl",
     Format::q6_k, true, false, 19},
    {"iq1_s", "experts in iq1_s, the first in iq2_xxs; others as in q2_k_xl", Format::q6_k, true,
     false, 24},
    {"mxfp4", "stacked matrices (experts, k_b, v_b) in mxfp4, others in q8_0", Format::q8_0, true,
     false, 38},
    {"q8_0", "every matrix in q8_0", Format::q8_0, true, false, 7},
    {"bf16", "every matrix in bf16", Format::bf16, true, true, 32},
    {"fp8", "matrices in e4m3 with a scale every 128 x 128", Format::fp8, false, true, -1},
};

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

/// The layer in "blk.12.ffn_down.weight"; -1 in names without one.
int layer_of(const std::string& tensor) {
  constexpr std::string_view prefix = "blk.";
  int layer = -1;
  if (tensor.starts_with(prefix))
    std::from_chars(tensor.data() + prefix.size(), tensor.data() + tensor.size(), layer);
  return layer;
}

bool gets_more_bits(int layer, int layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

bool is_q6_k_in_q4_k_m(const std::string& tensor, int layers) {
  if (tensor == "output.weight") return true;
  const bool chosen = contains(tensor, "ffn_down") || contains(tensor, "attn_v.weight");
  return chosen && gets_more_bits(layer_of(tensor), layers);
}

/// Unsloth's dynamic files: what their experts are in. The first down projections with experts get
/// another format.
struct Dynamic {
  std::string_view mix;
  Format experts, first_down, down;
  int first;  // layers
};
constexpr Dynamic dynamic_mixes[] = {
    {"q2_k_xl", Format::q2_k, Format::q3_k, Format::q2_k, 3},
    {"iq2_xxs", Format::iq2_xxs, Format::q2_k, Format::q2_k, 0},
    {"iq1_s", Format::iq1_s, Format::iq2_xxs, Format::iq1_s, 6},
};

Format dynamic_format(const Dynamic& mix, const Mix& rest, const std::string& tensor,
                      const Layers& layers) {
  if (contains(tensor, "_exps")) {
    if (!contains(tensor, "ffn_down")) return mix.experts;
    return layer_of(tensor) < layers.dense + mix.first ? mix.first_down : mix.down;
  }
  const bool more_bits = contains(tensor, "ffn_") || tensor == "output.weight";
  return more_bits ? rest.matrices : Format::q4_k;
}

Format matrix_format(const Mix& mix, const std::string& tensor, const Layers& layers) {
  if (mix.name == "q4_k_m" && is_q6_k_in_q4_k_m(tensor, layers.all)) return Format::q6_k;
  for (const Dynamic& dynamic : dynamic_mixes)
    if (dynamic.mix == mix.name) return dynamic_format(dynamic, mix, tensor, layers);
  return mix.matrices;
}

}  // namespace

std::span<const Mix> mixes() {
  return table;
}

const Mix& find_mix(std::string_view name) {
  std::vector<std::string> names;
  for (const Mix& mix : table) {
    if (mix.name == name) return mix;
    names.emplace_back(mix.name);
  }
  throw_input("no mix '" + std::string(name) + "'", {}, base::suggestions(name, names, "mixes"));
}

Format gguf_format(const Mix& mix, const std::string& tensor, const std::vector<int64_t>& shape,
                   const Layers& layers) {
  if (shape.size() < 2 || contains(tensor, "ffn_gate_inp")) return Format::f32;
  if (mix.name == "mxfp4" && shape.size() > 2) return Format::mxfp4;
  const Format format = matrix_format(mix, tensor, layers);
  if (quant::fits(format, shape.back())) return format;
  return format == Format::q6_k ? Format::q8_0 : Format::q5_0;
}

Format hugging_face_format(const Mix& mix, const std::string& tensor,
                           const std::vector<int64_t>& shape) {
  if (contains(tensor, "e_score_correction_bias")) return Format::f32;
  const bool projection = shape.size() == 2 && contains(tensor, "_proj");
  return mix.matrices == Format::fp8 && !projection ? Format::bf16 : mix.matrices;
}

}  // namespace ktx::engine
