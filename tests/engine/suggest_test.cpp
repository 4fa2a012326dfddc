// The public way to suggested rules: for every model on every machine, and this one.
#include <map>

#include "catch.hpp"
#include "core/base/file.hpp"
#include "engine/access.hpp"
#include "ktx/error.hpp"
#include "ktx/plan.hpp"
#include "ktx/synth.hpp"
#include "placement/plan.hpp"
#include "support/own_file.hpp"
#include "support/reference.hpp"

using namespace ktx;

namespace {

/// What is wrong with the rules suggested for a model on a machine; empty where they fit it, or
/// nothing does and the error says what is lacking.
std::string fault_of_suggestion(const std::string& model, const std::filesystem::path& machine,
                                size_t& fitting) {
  const auto rules = test::own_file("suggested.yaml");
  try {
    base::write_file(rules, suggest_rules({.model = model, .machine = machine}));
    const auto plan = make_plan({.rules = rules, .machine = machine});
    const auto& details = engine::Access::details(plan);
    for (const auto& memory : details.devices)
      if (memory.most() > (memory.device == "cpu" ? details.machine.memory_bytes()
                                                  : details.gpu(memory.device).memory_bytes))
        return "does not fit " + memory.device;
    if (plan.predicted_decode(1024) <= 0 || plan.predicted_prefill(512) <= 0)
      return "predicts nothing";
    ++fitting;
  } catch (const Error& e) {
    const std::string text = e.what();
    for (const char* part : {"no placement of this model fits the machine", "Needs ", "has "})
      if (text.find(part) == std::string::npos) return text;
  }
  return {};
}

}  // namespace

TEST_CASE("suggestions for every published model on every machine hold, or say why nothing fits") {
  const std::map<std::string, size_t> expected{
      {"deepseek-v3", 8}, {"deepseek-v2", 11},   {"deepseek-v2-lite", 12}, {"kimi-k2", 7},
      {"qwen3-235b", 11}, {"qwen3-30b-a3b", 12}, {"mixtral-8x7b", 12}};
  for (const auto& model : synth_models()) {
    size_t fitting = 0;
    for (const auto& machine :
         std::filesystem::directory_iterator(test::source_dir / "tests/machines")) {
      INFO(model.name << " on " << machine.path());
      CHECK(fault_of_suggestion("synth:" + model.name, machine.path(), fitting) == "");
    }
    INFO(model.name);
    CHECK(fitting == expected.at(model.name));
  }
}

TEST_CASE("a suggestion names its model so that it can be put anywhere") {
  const auto text = suggest_rules({.model = std::filesystem::relative(test::shipped_model),
                                   .machine = test::source_dir / "tests/machines/laptop.yaml"});
  CHECK(text.find("model: {path: '" + test::shipped_model.lexically_normal().string() + "'}") !=
        std::string::npos);
}

TEST_CASE("a suggestion without a description of a machine is for this box, measured") {
  const auto text = suggest_rules({.model = test::shipped_model});
  INFO(text);
  CHECK(text.find("Predicted: decoding ") != std::string::npos);
}

TEST_CASE("goals and sizes that do not exist are refused") {
  const auto machine = test::source_dir / "tests/machines/laptop.yaml";
  const auto suggest = [&](const std::string& goal, const std::string& vram) {
    suggest_rules({.model = test::shipped_model, .machine = machine, .goal = goal, .vram = vram});
  };
  CHECK_THROWS_AS(suggest("speed", ""), Error);
  for (const char* size : {"14", "0GiB", "-1GiB", "much"}) {
    INFO(size);
    CHECK_THROWS_AS(suggest("decode", size), Error);
  }
}
