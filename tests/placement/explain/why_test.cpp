// The story of a module against golden files; KTX_UPDATE_GOLDEN=1 writes them anew.
#include "placement/explain/why.hpp"

#include "catch.hpp"
#include "placement/golden.hpp"

using namespace ktx;
using namespace ktx::placement;

TEST_CASE("the stories of modules are the golden files'") {
  const auto rules = sample::gpu_rules();
  const auto plan = sample::gpu_plan(rules);
  for (const auto& [name, path] :
       {std::pair{"why-experts.txt", "model.layers.4.mlp.experts"},
        std::pair{"why-latent-attention.txt", "model.layers.5.self_attn.kv_b_proj"},
        std::pair{"why-head.txt", "lm_head"}, std::pair{"why-not-run.txt", "model.layers.6"}}) {
    INFO(name);
    const auto text = why(rules, plan, path);
    CHECK(text == sample::golden(name, text));
  }
}

TEST_CASE("a named kernel and NUMA nodes") {
  const auto rules = sample::rule_list(R"(  - name: experts
    match: {class: moe.experts}
    place: {op: moe.avx2, numa: replicate}
  - {name: rest, match: {name: '.*'}, place: {format: int8}}
)");
  const auto plan = make_plan(rules, sample::deepseek(sample::gpu_shape()),
                              sample::machine(hw::Isa::avx512_vnni, 2), {.threads = 4});
  const auto text = why(rules, plan, "model.layers.3.mlp.experts");
  CHECK(text.find("not avx512_vnni  not tried: the rule names avx2\n") != std::string::npos);
  CHECK(text.find("cpu, NUMA node 0  ") != std::string::npos);
  CHECK(text.find("cpu, NUMA node 1  ") != std::string::npos);
  CHECK(text.find("  decode        not known: the machine's speeds are not\n") !=
        std::string::npos);
  const auto router = why(rules, plan, "model.layers.3.mlp.gate");
  CHECK(router.find("f32, not int8: routers always run in f32\n") != std::string::npos);
}

TEST_CASE("a name that is no module's brings the nearest ones") {
  const auto rules = sample::gpu_rules();
  const auto plan = sample::gpu_plan(rules);
  const auto message = [&](const std::string& path) {
    return sample::error_of([&] { why(rules, plan, path); });
  };
  CHECK(message("model.layers.4.mlp.expert") ==
        "--why: the model has no module 'model.layers.4.mlp.expert'\n"
        "  note: did you mean 'model.layers.4.mlp.experts' or 'model.layers.1.mlp.experts' or "
        "'model.layers.2.mlp.experts'?\n"
        "  note: a module's full path is needed, as the plan prints it, with its layer for *");
  CHECK(message("model.layers.4.mlp.shared_experts")
            .find("modules below it: model.layers.4.mlp.shared_experts.gate_proj, ") !=
        std::string::npos);
  CHECK(message("model").find(" and ") != std::string::npos);
  CHECK(message("zzz").find("did you mean") == std::string::npos);
}
