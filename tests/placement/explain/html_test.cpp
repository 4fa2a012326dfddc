// The page: complete, loading nothing, and deaf to what names say.
#include "placement/explain/html.hpp"

#include <set>

#include "catch.hpp"
#include "placement/explain/folded.hpp"
#include "placement/explain/page.hpp"
#include "placement/golden.hpp"

using namespace ktx;
using namespace ktx::placement;

namespace {

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

// The data as the page's script reads them.
Json data_in(const std::string& page) {
  const std::string begin = R"(<script type="application/json" id="plan">)";
  const size_t at = page.find(begin) + begin.size();
  return base::parse_json(page.substr(at, page.find("</script>", at) - at), "page");
}

}  // namespace

TEST_CASE("the page has the plan's data, and its marks once") {
  const auto rules = sample::gpu_rules();
  const auto plan = sample::gpu_plan(rules);
  const auto page = to_html(rules, plan, {"further"});
  CHECK(data_in(page) == page_data(rules, plan, {"further"}));
  CHECK(count_of(std::string(page_template), std::string(page_data_mark)) == 1);
  CHECK(page.find(page_data_mark) == std::string::npos);
}

TEST_CASE("every module is in the page once") {
  const auto rules = sample::gpu_rules();
  const auto plan = sample::gpu_plan(rules);
  const auto data = page_data(rules, plan, {});
  const auto folded = folded_modules(plan);
  REQUIRE(data["modules"].size() == folded.size());
  size_t modules = 0;
  std::set<std::string> told;
  for (size_t i = 0; i < folded.size(); ++i) {
    const auto& module = data["modules"][i];
    CHECK(module["path"] == folded[i].path);
    CHECK(module["where"] == folded[i].rule_where);
    size_t layers = 0;
    for (const auto& range : module["layers"])
      layers += range[1].get<size_t>() - range[0].get<size_t>() + 1;
    CHECK(layers == folded[i].layers.size());
    CHECK(told.insert(module["path"].get<std::string>() + module["layers"].dump()).second);
    modules += std::max<size_t>(1, layers);
  }
  CHECK(modules == plan.modules.size());
}

TEST_CASE("the page tells of memory, homes and time") {
  const auto rules = sample::gpu_rules();
  const auto plan = sample::gpu_plan(rules);
  const auto data = page_data(rules, plan, {});
  REQUIRE(data["devices"].size() == 3);
  CHECK(data["devices"][1]["most"] == plan.devices[1].most());
  CHECK(data["devices"][1]["capacity"] == plan.machine.gpus[0].memory_bytes);
  for (const auto& module : data["modules"]) {
    if (module["rule"] != "late experts") continue;
    REQUIRE(module["homes"].size() == 3);
    CHECK(module["homes"][0]["share"] == 28.0 / 32);
    CHECK(module["homes"][1]["share"] == 4.0 / 32);
    CHECK(module["homes"][2]["device"] == "cuda:1");
    CHECK(module["kind"] == 0);
    CHECK(module["better"].size() > 0);
  }
  for (const auto& step : data["steps"]) {
    CHECK(step["us"] > 0);
    for (const auto& span : step["spans"]) {
      CHECK(span[0] < step["lanes"].size());
      CHECK(span[1] < data["modules"].size());
    }
  }
  auto unknown = plan;
  unknown.machine.read_bandwidth = 0;
  CHECK(page_data(rules, unknown, {})["steps"][0]["us"] == 0);
  CHECK(page_data(rules, unknown, {})["steps"][0]["spans"].empty());
}

TEST_CASE("NUMA nodes have bars where there are several") {
  const auto rules = sample::gpu_rules();
  auto plan = sample::gpu_plan(rules);
  CHECK(page_data(rules, plan, {})["nodes"].empty());
  plan.machine.nodes.push_back({.id = 7, .memory_bytes = uint64_t{1} << 30});
  plan.node_threads.push_back(3);
  const auto nodes = page_data(rules, plan, {})["nodes"];
  REQUIRE(nodes.size() == 2);
  CHECK(nodes[1]["name"] == "node 7");
  CHECK(nodes[1]["capacity"] == uint64_t{1} << 30);
}

TEST_CASE("the page loads nothing and takes no text for markup") {
  const std::string page(page_template);
  for (const char* loads :
       {"http:", "https:", "//", "src=", "href=", "url(", "@import", "fetch("}) {
    INFO(loads);
    // The script's comments begin with two slashes; nothing else has them.
    if (std::string(loads) == "//")
      CHECK(count_of(page, "//") == count_of(page, "// "));
    else
      CHECK(count_of(page, loads) == 0);
  }
  for (const char* markup :
       {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("})
    CHECK(count_of(page, markup) == 0);
  CHECK(count_of(page, "default-src 'none'") == 1);
}

TEST_CASE("names can't leave the page's data") {
  const std::string hostile = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>";
  auto rules = sample::gpu_rules();
  auto plan = sample::gpu_plan(rules);
  plan.model.info.name = plan.machine.name = plan.rules_file = hostile;
  for (auto& module : plan.model.modules) module.path += hostile;
  for (auto& planned : plan.modules) planned.rule_where += hostile;
  for (auto& setting : plan.settings) setting.value = hostile;
  for (auto& rule : plan.rules) rule.text = hostile;
  const auto page = to_html(rules, plan, {hostile});
  const std::string around(page_template);
  for (const char* part : {"<script", "</script", "<!--", "<img"})
    CHECK(count_of(page, part) == count_of(around, part));
  CHECK(data_in(page)["heading"]["rules"] == hostile);
}
