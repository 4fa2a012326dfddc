// EXPLAIN against golden files; KTX_UPDATE_GOLDEN=1 writes them anew.
#include "placement/explain/text.hpp"

#include <algorithm>

#include "catch.hpp"
#include "placement/explain/json.hpp"
#include "placement/golden.hpp"

using namespace ktx;
using namespace ktx::placement;

TEST_CASE("explain prints the plan as the golden files have it") {
  for (const auto& [name, plan] :
       {std::pair{"plain.txt", sample::plain_plan()}, std::pair{"rich.txt", sample::rich_plan()},
        std::pair{"numa.txt", sample::numa_plan()}, std::pair{"gpu.txt", sample::gpu_plan()}}) {
    INFO(name);
    const auto text = explain(plan);
    CHECK(text == sample::golden(name, text));
  }
}

TEST_CASE("many layers are cut short, after at least one range") {
  const auto row = [](const std::vector<int>& layers) {
    Plan plan = sample::plain_plan();
    const PlannedModule first = plan.modules.front();
    const graph::Module module = plan.model.modules[static_cast<size_t>(first.module)];
    plan.modules.clear();
    plan.model.modules.clear();
    for (const int layer : layers) {
      plan.model.modules.push_back(module);
      plan.model.modules.back().layer = layer;
      plan.modules.push_back(first);
      plan.modules.back().module = static_cast<int>(plan.modules.size()) - 1;
    }
    return explain(plan);
  };
  CHECK(row({1, 3, 5, 7, 9, 11, 13, 15, 17}).find("  1,3,5,7,9,11,.. (9)  ") != std::string::npos);
  CHECK(row({100000, 100001, 100002, 200000, 200002}).find("  100000-100002,.. (5)  ") !=
        std::string::npos);
}

TEST_CASE("equal layers fold to one line, however many") {
  sample::DeepSeek shape = sample::full_size();
  const auto plan = make_plan(
      sample::rule_list("  - {name: all, match: {name: '.*'}, place: {format: int4/32}}\n"),
      sample::deepseek(shape), sample::machine(hw::Isa::avx512_vnni, 1, 1024), {});
  const auto text = explain(plan);
  const auto at = text.find("model.layers.*.mlp.experts ");
  REQUIRE(at != std::string::npos);
  CHECK(text.substr(at, text.find('\n', at) - at).find("  3-60 ") != std::string::npos);
  CHECK(std::count(text.begin(), text.end(), '\n') < 80);
}

TEST_CASE("a slow path is a warning in capitals, once for all modules alike") {
  auto plan = make_plan(
      sample::rule_list("  - {name: experts, match: {class: moe.experts}, place: {op: moe.ref}}\n"
                        "  - {name: rest, match: {name: '.*'}, place: {}}\n"),
      sample::deepseek(), sample::machine(), {});
  const auto lines = warnings(plan);
  REQUIRE(lines.size() == 1);
  const auto& line = lines.front();
  CHECK(line.rfind("SLOW: moe.ref (", 0) == 0);
  CHECK(line.find(" modules): gate: ref has no kernel for ") != std::string::npos);
  CHECK(line.find("times slower") != std::string::npos);
  CHECK(explain(plan).find("\nWARNINGS\n  " + line + "\n") != std::string::npos);
  CHECK(to_json(plan)["warnings"][0] == line);
  plan.modules.front().prefill.slow_path = "why";  // in one phase only
  CHECK(warnings(plan).front() == "SLOW: embedding.ref (1 module, prefill): why");
  auto quick = sample::plain_plan();
  CHECK(warnings(quick).empty());
  CHECK(explain(quick).find("WARNINGS") == std::string::npos);
  quick.model.info.context = quick.cache_length - 1;
  CHECK(warnings(quick).size() == 1);
  CHECK(warnings(quick).front() == "a context of " + std::to_string(quick.cache_length) +
                                       " tokens, but the model was trained for " +
                                       std::to_string(quick.cache_length - 1));
}
