// Rules of other programs translated for published models, and planned with.
#include "ktx/import.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "catch.hpp"
#include "core/base/file.hpp"
#include "engine/access.hpp"
#include "ktx/error.hpp"
#include "ktx/plan.hpp"
#include "placement/plan.hpp"
#include "support/golden_file.hpp"
#include "support/own_file.hpp"
#include "support/reference.hpp"

using namespace ktx;

namespace {

const std::filesystem::path folder = std::filesystem::path(KTX_TEST_DATA) / "rules";

// Inputs: not what was made of them.
std::vector<std::filesystem::path> inputs(const char* kind, const char* extension) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder / kind))
    if (entry.path().extension() == extension && entry.path().stem().extension() != ".ktx")
      files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

Plan plan_with(const std::filesystem::path& rules) {
  return make_plan({.model = "synth:deepseek-v3,mix=q4_k_m",
                    .rules = rules,
                    .machine = folder / "box.yaml",
                    .header_only = true});
}

// The file beside the input holds just this text, and plans.
Plan check_golden(std::filesystem::path input, const std::string& text) {
  const auto golden = input.replace_extension(".ktx.yaml");
  CHECK(text == test::golden_file(golden, text));
  return plan_with(golden);
}

std::string device_of(const Plan& plan, const std::string& path) {
  const auto& details = engine::Access::details(plan);
  for (const auto& planned : details.modules)
    if (details.model.modules[static_cast<size_t>(planned.module)].path == path)
      return planned.device + (planned.stream ? " streamed to " + planned.prefill_device : "");
  return "none";
}

}  // namespace

TEST_CASE("files of KTransformers' shape become the rules beside them, which plan DeepSeek-V3") {
  const auto files = inputs("ktransformers", ".yaml");
  CHECK(files.size() >= 5);
  for (const auto& file : files) {
    INFO(file);
    const auto plan = check_golden(file, import_rules({.ktransformers = file}));
    CHECK(device_of(plan, "model.embed_tokens") == "cpu");
    CHECK(device_of(plan, "model.layers.2.self_attn.kv_b_proj") == "cuda:0");
    CHECK(device_of(plan, "model.layers.7.mlp.experts") == "cpu streamed to cuda:0");
    const bool two = file.stem() == "gpus-by-layers";
    const std::string last = two ? "cuda:1" : "cuda:0";
    CHECK(device_of(plan, "model.layers.60.self_attn.kv_b_proj") == last);
    CHECK(device_of(plan, "model.layers.60.mlp.experts") == "cpu streamed to " + last);
    CHECK(device_of(plan, "lm_head") == last);
    const bool marlin = file.stem() == "marlin-experts";
    CHECK(device_of(plan, "model.layers.4.mlp.experts") ==
          (marlin ? "cuda:0" : "cpu streamed to cuda:0"));
  }
}

TEST_CASE("overrides of llama.cpp become the rules beside them, which plan DeepSeek-V3") {
  const auto files = inputs("overrides", ".txt");
  CHECK(files.size() >= 4);
  for (const auto& file : files) {
    INFO(file);
    auto overrides = base::read_text(file);
    overrides.erase(overrides.find('\n'));
    const auto plan = check_golden(file, import_rules({.tensor_overrides = {overrides}}));
    CHECK(device_of(plan, "model.layers.20.mlp.experts").starts_with("cpu streamed to"));
  }
}

TEST_CASE("the model is a published one of the kind that a file names, or the one given") {
  const auto file = test::own_file("import_test.yaml");
  const auto write = [&](const std::string& python_class) {
    std::ofstream(file) << "- {match: {class: " + python_class +
                               ", name: \"mlp\\\\.experts$\"}, replace: {class: default}}\n";
  };
  const auto names = [&](const std::string& model) {
    return import_rules({.ktransformers = file}).find(model) != std::string::npos;
  };
  write("ktransformers.models.modeling_qwen3_moe.Qwen3MoeSparseMoeBlock");
  CHECK(names("synth:qwen3-235b"));
  write("ktransformers.models.modeling_deepseek_v3.DeepseekV3MoE");
  CHECK(names("synth:deepseek-v3"));
  write("torch.nn.ModuleList");
  CHECK(names("synth:deepseek-v3"));
  write("ktransformers.models.modeling_mixtral.MixtralSparseMoeBlock");
  try {
    import_rules({.ktransformers = file});
    FAIL("expected an error");
  } catch (const Error& error) {
    CHECK(std::string(error.what()) ==
          file.string() +
              ":1:1: these rules are for a model other than DeepSeek, Kimi or "
              "Qwen3-MoE\n  note: name it: --model PATH; its header is enough");
  }
  CHECK(import_rules({.ktransformers = file, .model = test::shipped_model}).find("tiny-v3") !=
        std::string::npos);
}
