// The folded view of a plan.
#include "placement/explain/folded.hpp"

#include <algorithm>
#include <set>

#include "catch.hpp"
#include "placement/golden.hpp"

using namespace ktx::placement;

TEST_CASE("every module is in one fold, those of a path follow each other") {
  const auto plan = sample::gpu_plan();
  const auto folded = folded_modules(plan);
  std::set<size_t> seen;
  std::set<std::string> paths;
  uint64_t bytes = 0;
  std::string last;
  for (const auto& row : folded) {
    REQUIRE_FALSE(row.modules.empty());
    CHECK(std::ranges::is_sorted(row.layers));
    CHECK((row.layers.empty() || row.layers.size() == row.modules.size()));
    for (const size_t module : row.modules) CHECK(seen.insert(module).second);
    if (row.path != last) CHECK(paths.insert(row.path).second);
    last = row.path;
    bytes += row.bytes;
  }
  CHECK(seen.size() == plan.modules.size());
  CHECK(bytes == plan.weight_bytes());
}

TEST_CASE("a fold says what its modules have in common") {
  const auto plan = sample::gpu_plan();
  const auto folded = folded_modules(plan);
  const auto row = std::ranges::find_if(folded, [](const auto& r) {
    return r.path == "model.layers.*.mlp.experts" && r.layers.front() == 4;
  });
  REQUIRE(row != folded.end());
  CHECK(row->layers == std::vector<int>{4});  // layer 5 has another format
  CHECK(row->device == "cpu / cpu + cuda:1 (4 on cuda:1)");
  CHECK(row->op.find("moe.") == 0);
  CHECK(row->op.find(" + cuda") != std::string::npos);
  CHECK(row->format == "gate,up q4_k; down q6_k");
  CHECK(row->rule_name == "late experts");
  CHECK(row->rule_where == "r.yaml:3");
}
