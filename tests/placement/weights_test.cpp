// Formats and bytes of a module's weights.
#include "placement/weights.hpp"

#include "catch.hpp"
#include "placement/planner.hpp"
#include "sample.hpp"

using namespace ktx;
using namespace ktx::placement;
using quant::Format;
using sample::error_of;

namespace {

graph::Module mla_module(Format source) {
  graph::Module module{.path = "model.layers.0.self_attn.kv_b_proj", .op = "mla"};
  module.weights = {
      {.role = "k_b", .source = source, .count = 4, .rows = 512, .cols = 96, .transposed = true},
      {.role = "v_b", .source = source, .count = 4, .rows = 128, .cols = 512}};
  return module;
}

std::vector<Format> formats(const graph::Module& module, std::optional<Format> wanted,
                            const std::string& device = "cpu") {
  Decision decision;
  decision.device = device;
  decision.module = &module;
  decision.op = *graph::find_op(module.op);
  decision.format = wanted;
  decision.format_where = "r.yaml:4:9";
  return choose_formats(decision);
}

}  // namespace

TEST_CASE("keep stores matrices as the checkpoint does") {
  CHECK(formats(mla_module(Format::bf16), {}) == std::vector{Format::bf16, Format::bf16});
  CHECK(formats(mla_module(Format::q4_k), {}) == std::vector{Format::f32, Format::q4_k});
  CHECK(formats(mla_module(Format::fp8), {}) == std::vector{Format::f32, Format::fp8});
}

TEST_CASE("a format of a rule goes to every matrix, requantized or not") {
  CHECK(formats(mla_module(Format::q4_k), Format::int8) == std::vector{Format::int8, Format::int8});
  CHECK(formats(mla_module(Format::bf16), Format::int4_32) ==
        std::vector{Format::int4_32, Format::int4_32});
}

TEST_CASE(
    "a GPU has latent attention's matrices as bf16, or int8 where that keeps what is left of "
    "them") {
  const auto on_gpu = [](Format source, std::optional<Format> wanted) {
    return formats(mla_module(source), wanted, "cuda:0");
  };
  const std::vector bf16{Format::bf16, Format::bf16}, int8{Format::int8, Format::int8};
  CHECK(on_gpu(Format::bf16, {}) == bf16);
  CHECK(on_gpu(Format::fp8, {}) == bf16);
  CHECK(on_gpu(Format::q8_0, {}) == bf16);
  CHECK(on_gpu(Format::q4_k, {}) == int8);
  CHECK(on_gpu(Format::bf16, Format::int4_32) == int8);
  CHECK(on_gpu(Format::q4_k, Format::bf16) == bf16);
}

TEST_CASE("vectors, norms and routers are f32") {
  graph::Module norm{.path = "model.norm", .op = "rms_norm"};
  norm.weights = {{.role = "weight", .source = Format::bf16, .count = 1, .rows = 1, .cols = 256}};
  CHECK(formats(norm, Format::int8) == std::vector{Format::f32});
  graph::Module gate{.path = "model.layers.1.mlp.gate", .op = "router"};
  gate.weights = {{.role = "weight", .source = Format::bf16, .count = 1, .rows = 8, .cols = 256}};
  CHECK(formats(gate, Format::int8) == std::vector{Format::f32});
  graph::Module linear{.path = "lm_head", .op = "linear"};
  linear.weights = {{.role = "weight", .source = Format::f16, .count = 1, .rows = 8, .cols = 256},
                    {.role = "bias", .source = Format::f16, .count = 1, .rows = 1, .cols = 8}};
  CHECK(formats(linear, Format::int8) == std::vector{Format::int8, Format::f32});
}

TEST_CASE("formats that can't be") {
  const auto module = mla_module(Format::bf16);
  const auto no_fit = error_of([&] { formats(module, Format::int4_64); });
  CHECK(no_fit.rfind("r.yaml:4:9: format int4/64 can't store weight 'k_b' of "
                     "model.layers.0.self_attn.kv_b_proj: its rows have 96 numbers, not a multiple "
                     "of 64\n  note: formats that fit: keep, f32, f16, bf16, ",
                     0) == 0);
  CHECK(no_fit.find("int4/32") != std::string::npos);
  CHECK(no_fit.find("int4/128") == std::string::npos);
  CHECK(no_fit.find("\n  note: give such modules a rule of their own before this one") !=
        std::string::npos);
  const auto no_code = error_of([&] { formats(module, Format::q4_k); });
  CHECK(no_code.rfind("r.yaml:4:9: format q4_k: ktx runs it where the checkpoint has it, but does "
                      "not quantize to it; weight 'k_b' of model.layers.0.self_attn.kv_b_proj is "
                      "bf16\n  note: use keep or one of: ",
                      0) == 0);
}

TEST_CASE("a format that the checkpoint has needs no quantizer") {
  graph::Module linear{.path = "lm_head", .op = "linear"};
  linear.weights = {{.role = "weight", .source = Format::q4_k, .count = 1, .rows = 8, .cols = 256}};
  CHECK(formats(linear, Format::q4_k) == std::vector{Format::q4_k});
}

TEST_CASE("texts and bytes") {
  CHECK(format_text({"weight", Format::q4_k, Format::q4_k}) == "q4_k");
  CHECK(format_text({"weight", Format::q4_k, Format::int8}) == "int8 (from q4_k)");
  CHECK(format_text({"k_b", Format::q8_0, Format::f32}, true) == "f32 (from q8_0, transposed)");
  const graph::Weight weight{.role = "gate", .count = 3, .rows = 32, .cols = 256};
  CHECK(packed_bytes(weight, Format::q4_k, ops::Layout::rows) == 3 * 32 * 144);
  CHECK(packed_bytes(weight, Format::f32, ops::Layout::rows) == 3 * 32 * 256 * 4);
}

TEST_CASE("the share of a module that one token reads") {
  const auto rules = sample::rules(
      "ktx: 1\nmodel: {experts_per_token: {layers: {2: 4}}}\n"
      "rules:\n  - {name: all, match: {name: '.*'}, place: {}}\n");
  const auto plan = make_plan(rules, sample::deepseek(), sample::machine(), {});
  const auto& model = plan.model;
  const auto share = read_share(plan);
  for (size_t i = 0; i < share.size(); ++i) {
    const auto& op = model.modules[i].op;
    INFO(model.modules[i].path);
    const double experts = model.modules[i].layer == 2 ? 4.0 / 32 : 8.0 / 32;
    CHECK(share[i] == (op == "moe" ? experts : op == "embedding" ? 1.0 / 1024 : 1.0));
  }
}
