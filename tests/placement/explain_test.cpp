// EXPLAIN against golden files; KTX_UPDATE_GOLDEN=1 writes them anew.
#include "placement/explain.hpp"

#include <algorithm>

#include "catch.hpp"
#include "golden.hpp"

using namespace ktx;
using namespace ktx::placement;

TEST_CASE("explain prints the plan as the golden files have it") {
  for (const auto& [name, plan] :
       {std::pair{"plain.txt", sample::plain_plan()}, std::pair{"rich.txt", sample::rich_plan()}}) {
    INFO(name);
    const auto text = explain(plan);
    CHECK(text == sample::golden(name, text));
  }
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
  CHECK(std::count(text.begin(), text.end(), '\n') < 60);
}
