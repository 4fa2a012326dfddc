// Sets of modules, described as rules match them.
#include "placement/import/selection.hpp"

#include "../sample.hpp"
#include "catch.hpp"

using namespace ktx;
using namespace ktx::placement;

namespace {

struct Described {
  graph::Model model = sample::deepseek();
  ModuleSet open = run_modules(model);

  ModuleSet those(const char* pattern) const {
    const text::Regex regex(pattern);
    ModuleSet set(open.size());
    for (size_t i = 0; i < set.size(); ++i) set[i] = open[i] && regex.search(model.modules[i].path);
    return set;
  }
  // As text, checked to take just these modules.
  std::string operator()(const char* pattern) const {
    const auto wanted = those(pattern);
    std::string out;
    ModuleSet all(open.size());
    for (const auto& match : select(model, wanted, open)) {
      const auto set = taken(match, model, open);
      for (size_t i = 0; i < all.size(); ++i) all[i] = all[i] || set[i];
      out += flow_text(match);
    }
    CHECK(all == wanted);
    return out;
  }
};

}  // namespace

TEST_CASE("the shortest that says it") {
  const Described described;
  CHECK(described(".*") == "{name: '.*'}");
  CHECK(described("experts$") == "{class: moe.experts}");
  CHECK(described(R"(layers\.[12]\..*experts$)") == "{class: moe.experts, layers: 1-2}");
  CHECK(described(R"(layers\.[02]\.)") == "{layers: '0,2'}");
  CHECK(described("self_attn") == "{class: attention}");
  CHECK(described("lm_head") == "{class: head}");
  CHECK(described("^model.norm$") == R"({name: '^model\.norm$'})");
  CHECK(described("q_a_proj|o_proj|lm_head") ==
        R"({name: '\.(self_attn\.q_a_proj|self_attn\.o_proj)$|^lm_head$'})");
  CHECK(described(R"((layers\.1\.mlp\.gate|layers\.[23].*kv_b_proj)$)") ==
        R"({name: '\.self_attn\.kv_b_proj$', layers: 2-3}{class: moe.router, layers: 1})");
  CHECK(described("nothing").empty());
}

TEST_CASE("what earlier rules take need not be told from the rest") {
  Described described;
  for (size_t i = 0; i < described.open.size(); ++i)
    described.open[i] = described.open[i] && !described.those(R"(layers\.[01]\.)")[i];
  CHECK(described(R"(layers\.[23]\..*experts$)") == "{class: moe.experts}");
  CHECK(described(R"(layers\.[23]\.)") == R"({layers: 2-3})");
}

TEST_CASE("modules that are not run are in no set") {
  const Described described;
  for (size_t i = 0; i < described.open.size(); ++i)
    CHECK(bool(described.open[i]) == described.model.modules[i].unused.empty());
}

TEST_CASE("the class that modules have in common") {
  const Described described;
  CHECK(common_class(described.model, described.those("experts$")) == "moe.experts");
  CHECK(common_class(described.model, described.those("self_attn")) == "modules");
  CHECK(common_class(described.model, described.those("none")).empty());
}
