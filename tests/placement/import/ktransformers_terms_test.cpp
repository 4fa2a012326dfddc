// KTransformers' words.
#include "placement/import/ktransformers_terms.hpp"

#include "../sample.hpp"
#include "catch.hpp"
#include "core/quant/format.hpp"

using namespace ktx;
using namespace ktx::placement;

TEST_CASE("classes by the end of their names") {
  CHECK(python_kind("torch.nn.Linear") == PythonKind::linear);
  CHECK(python_kind("torch.nn.ModuleList") == PythonKind::list);
  CHECK(python_kind("torch.nn.Module") == PythonKind::any);
  CHECK(python_kind("m.DeepseekV3MoE") == PythonKind::moe);
  CHECK(python_kind("m.Qwen3MoeSparseMoeBlock") == PythonKind::moe);
  CHECK(python_kind("m.DeepseekV3MLP") == PythonKind::mlp);
  CHECK(python_kind("m.MoEGate") == PythonKind::router);
  CHECK(python_kind("m.DeepseekV3RMSNorm") == PythonKind::norm);
  CHECK(python_kind("m.DeepseekV3RotaryEmbedding") == PythonKind::rotary);
  CHECK(python_kind("torch.nn.Embedding") == PythonKind::embedding);
  CHECK(python_kind("m.DeepseekV3Attention") == PythonKind::attention);
  CHECK(python_kind("m.DeepseekV3DecoderLayer") == PythonKind::layer);
  CHECK(python_kind("m.DeepseekV3Model") == PythonKind::model);
  CHECK(python_kind("m.DeepseekV3ForCausalLM") == PythonKind::causal_lm);
  CHECK(python_kind("torch.nn.Conv1d") == PythonKind::unknown);
}

TEST_CASE("ops and backends name formats that ktx has") {
  for (const char* name : {"KLinearMarlin", "KExpertsTorch", "KLinearQ8", "VLinearMarlin"})
    CHECK(quant::find_format(find_kt_op(name)->format));
  CHECK(find_kt_op("KExpertsCPU")->format.empty());
  for (const char* name : {"AMXInt8", "AMXBF16", "AMXInt4"})
    CHECK(quant::find_format(find_kt_backend(name)->format));
  CHECK(find_kt_op("KNothing") == nullptr);
  CHECK(find_kt_backend("amx") == nullptr);
}

TEST_CASE("devices") {
  const auto device = [](const std::string& text) {
    return parse_kt_device(base::parse_yaml("'" + text + "'", "kt.yaml"));
  };
  CHECK(device("cpu").name == "cpu");
  CHECK(device("cuda").name == "cuda:0");
  CHECK(device("cuda:3").name == "cuda:3");
  CHECK(device("cuda").remark.empty());
  CHECK(device("xpu:1").name == "cuda:1");
  CHECK_FALSE(device("npu").remark.empty());
  CHECK(sample::error_of([&] { device("gpu"); }) ==
        "kt.yaml:1:1: unknown device 'gpu'\n  note: did you mean 'cpu'?\n"
        "  note: valid devices: cpu, cuda, cuda:0, cuda:1");
}

TEST_CASE("every argument has a reason") {
  CHECK(why_no_argument("out_device") == "results are copied to where they are read");
  CHECK(why_no_argument("unheard_of") == "ktx does not know this argument");
}
