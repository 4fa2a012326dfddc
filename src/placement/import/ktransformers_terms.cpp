// The tables of KTransformers' words.
#include "placement/import/ktransformers_terms.hpp"

#include <algorithm>
#include <array>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "core/device/place.hpp"

namespace ktx::placement {

namespace {

struct KindRow {
  std::string_view end;  // of the class's name
  PythonKind kind;
};
// The first that fits counts.
constexpr std::array kinds{
    KindRow{"ModuleList", PythonKind::list},
    KindRow{"RotaryEmbedding", PythonKind::rotary},
    KindRow{"RotaryEmbeddingV2", PythonKind::rotary},
    KindRow{"RotaryEmbeddingV3", PythonKind::rotary},
    KindRow{"RMSNorm", PythonKind::norm},
    KindRow{"LayerNorm", PythonKind::norm},
    KindRow{"MoEGate", PythonKind::router},
    KindRow{"TopkRouter", PythonKind::router},
    KindRow{"TopKRouter", PythonKind::router},
    KindRow{"MoE", PythonKind::moe},
    KindRow{"MoeBlock", PythonKind::moe},
    KindRow{"MoEBlock", PythonKind::moe},
    KindRow{"MLP", PythonKind::mlp},
    KindRow{"Attention", PythonKind::attention},
    KindRow{"DecoderLayer", PythonKind::layer},
    KindRow{"ForCausalLM", PythonKind::causal_lm},
    KindRow{"Model", PythonKind::model},
    KindRow{"Embedding", PythonKind::embedding},
    KindRow{"Linear", PythonKind::linear},
    KindRow{"torch.nn.Module", PythonKind::any},
};

constexpr std::string_view own_formats = "it reads FP8 weights as the checkpoint has them";
constexpr std::array ops{
    KtOp{"KLinearMarlin", "int4/64"},
    KtOp{"VLinearMarlin", "int4/64"},
    KtOp{"QuantizedLinearMarlin", "int4/64"},
    KtOp{"KExpertsMarlin", "int4/64"},
    KtOp{"MLPExpertsMarlin", "int4/64"},
    KtOp{"KLinearTorch", "bf16"},
    KtOp{"QuantizedLinearTorch", "bf16"},
    KtOp{"KExpertsTorch", "bf16"},
    KtOp{"MLPExpertsTorch", "bf16"},
    KtOp{"KLinearQ8", "int8"},
    KtOp{"KLinearFP8", "", own_formats},
    KtOp{"KLinearCPUInfer", ""},
    KtOp{"QuantizedLinearCPU", ""},
    KtOp{"KExpertsCPU", ""},
    KtOp{"MLPCPUExperts", ""},
};

constexpr std::array backends{
    KtOp{"llamafile", ""},
    KtOp{"AMXInt8", "int8"},
    KtOp{"AMXBF16", "bf16"},
    KtOp{"AMXInt4", "int4/128",
         "ktx has no int4 with one scale a row; one every 128 columns is nearest, and more exact"},
};

struct ArgumentRow {
  std::string_view name, why;
};
constexpr std::array arguments{
    ArgumentRow{"out_device", "results are copied to where they are read"},
    ArgumentRow{"absorb_for_prefill", "ktx absorbs kv_b_proj for prompts where that is cheaper"},
    ArgumentRow{"transfer_map", "values are copied where the next module has another device"},
    // KTransformers spells it so.
    ArgumentRow{"per_layer_prefill_intput_threshold",
                "prompts of every length run as prefill: says"},
    // A number is translated; of ranges it is not known what they mean.
    ArgumentRow{"n_deferred_experts", "give defer: N, for the N experts of least weight"},
    ArgumentRow{"use_npu_graph", "ktx has no kernels for NPUs"},
};

template <class Table>
const auto* find_row(const Table& table, std::string_view name) noexcept {
  const auto found = std::ranges::find_if(table, [&](const auto& row) { return row.name == name; });
  return found == table.end() ? nullptr : &*found;
}

}  // namespace

PythonKind python_kind(std::string_view python_class) noexcept {
  const auto found = std::ranges::find_if(
      kinds, [&](const KindRow& row) { return python_class.ends_with(row.end); });
  return found == kinds.end() ? PythonKind::unknown : found->kind;
}

const KtOp* find_kt_op(std::string_view name) noexcept {
  return find_row(ops, name);
}

const KtOp* find_kt_backend(std::string_view name) noexcept {
  return find_row(backends, name);
}

std::string_view why_no_argument(std::string_view name) noexcept {
  const auto* row = find_row(arguments, name);
  return row == nullptr ? "ktx does not know this argument" : row->why;
}

KtDevice parse_kt_device(const base::Yaml& value) {
  std::string text = value.as_string("a device");
  std::string remark;
  for (const std::string other : {"xpu", "npu", "hpu", "mps"})
    if (text.starts_with(other)) {
      remark = "ktx runs on CPUs and NVIDIA's GPUs; a GPU of the same number stands for it";
      text.replace(0, other.size(), "cuda");
    }
  if (text == "cuda") text = "cuda:0";
  if (!device::parse_device(text))
    throw_input("unknown device '" + value.scalar + "'", value.where,
                base::suggestions(value.scalar, {"cpu", "cuda", "cuda:0", "cuda:1"}, "devices"));
  return {text, remark};
}

}  // namespace ktx::placement
