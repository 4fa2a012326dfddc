// Places of modules: devices, phases, spreads, and what follows for kernels, formats and layouts.
#include "placement/place_module.hpp"

#include "catch.hpp"
#include "placement/planner.hpp"
#include "sample.hpp"

using namespace ktx;
using namespace ktx::placement;
using quant::Format;
using sample::error_of;

namespace {

const std::string rest = "  - {name: rest, match: {name: '.*'}, place: {}}\n";
const std::string experts = "  - {name: experts, match: {class: moe.experts}, ";

Plan plan_of(const std::string& lines, const sample::DeepSeek& shape = {}) {
  return make_plan(sample::rule_list(lines), sample::deepseek(shape), sample::machine_with_gpus(2),
                   {});
}
std::string error_with(const std::string& lines, const sample::DeepSeek& shape = {}) {
  return error_of([&] { plan_of(lines, shape); });
}

const PlannedModule& at(const Plan& plan, const char* path) {
  for (const auto& planned : plan.modules)
    if (plan.model.modules[static_cast<size_t>(planned.module)].path == path) return planned;
  throw std::runtime_error(std::string("no module ") + path);
}

}  // namespace

TEST_CASE("on a GPU matrices lie as for the CPU, embeddings by rows, latent attention in bf16") {
  sample::DeepSeek shape;
  shape.matrices = Format::q4_k;
  shape.q_lora = 256;
  const auto plan =
      plan_of("  - {name: all, match: {name: '.*'}, place: {device: 'cuda:1'}}\n", shape);
  for (const auto& planned : plan.modules) {
    INFO(plan.model.modules[static_cast<size_t>(planned.module)].path);
    CHECK(planned.device == "cuda:1");
    CHECK(planned.prefill_device == "cuda:1");
    CHECK(planned.decode.name == "cuda");
    CHECK(planned.prefill.name == "cuda");
    CHECK(planned.numa_note.empty());
    for (const auto& weight : planned.weights) {
      REQUIRE(weight.parts.size() == 1);
      CHECK(weight.parts[0].node == WeightPart::no_node);
      CHECK(weight.parts[0].bytes == weight.bytes);
    }
  }
  const auto& linear = at(plan, "model.layers.0.self_attn.o_proj").weights[0];
  CHECK(linear.format == Format::q4_k);
  CHECK(linear.layout == ops::Layout::x16);
  CHECK(at(plan, "model.layers.1.mlp.experts").weights[2].layout == ops::Layout::x16);
  CHECK(at(plan, "model.embed_tokens").weights[0].layout == ops::Layout::rows);
  const auto& mla = at(plan, "model.layers.0.self_attn.kv_b_proj");
  CHECK(mla.weights[0].format == Format::bf16);  // stored in q8_0
  CHECK(mla.weights[1].format == Format::int8);
  for (const auto& weight : mla.weights) CHECK(weight.layout == ops::Layout::rows);
  CHECK(mla.note ==
        "bf16, not as stored: GPUs read the matrices of latent attention in bf16 or int8");
  const auto bf16 = plan_of(
      "  - {name: all, match: {name: '.*'}, place: {device: 'cuda:1', "
      "format: bf16}}\n",
      shape);
  CHECK(at(bf16, "model.layers.0.self_attn.kv_b_proj").note.empty());
  const auto int8 = plan_of(
      "  - {name: all, match: {name: '.*'}, place: {device: 'cuda:1', "
      "format: int8}}\n",
      shape);
  CHECK(at(int8, "model.layers.0.self_attn.kv_b_proj").note.empty());
}

TEST_CASE("a format in which no GPU kernel reads experts") {
  sample::DeepSeek shape;
  shape.hidden = shape.q_lora = shape.intermediate = 512;
  shape.matrices = shape.down = Format::iq3_s;
  const auto error = error_with(
      "  - {name: experts, match: {class: moe.experts}, place: {device: 'cuda:0'}}\n" + rest,
      shape);
  CHECK(error.rfind("r.yaml:3:5: no kernel of op 'moe' can run model.layers.1.mlp.experts on cuda\n"
                    "  note: moe.cuda reads no experts in iq3_s\n"
                    "  note: device: cpu runs it; formats that a GPU runs: ",
                    0) == 0);
}

TEST_CASE("layers are spread over devices, what is in none stands before or behind them") {
  const auto plan = plan_of(
      "  - {name: attention, match: {class: attention, layers: 1-3}, "
      "place: {device: ['cuda:0', cpu], spread: layers}}\n"
      "  - {name: rest, match: {name: '.*'}, "
      "place: {device: ['cuda:1', 'cuda:0'], spread: layers}}\n");
  CHECK(at(plan, "model.embed_tokens").device == "cuda:1");
  CHECK(at(plan, "model.norm").device == "cuda:0");
  CHECK(at(plan, "lm_head").device == "cuda:0");
  CHECK(at(plan, "model.layers.1.mlp.gate").device == "cuda:1");
  CHECK(at(plan, "model.layers.2.mlp.gate").device == "cuda:0");
  CHECK(at(plan, "model.layers.0.self_attn.o_proj").device == "cuda:1");
  CHECK(at(plan, "model.layers.1.self_attn.o_proj").device == "cuda:0");
  CHECK(at(plan, "model.layers.2.self_attn.o_proj").device == "cuda:0");
  CHECK(at(plan, "model.layers.3.self_attn.o_proj").device == "cpu");
}

TEST_CASE("prompts elsewhere: a copy with kernels and a format of its own") {
  const auto plan = plan_of(experts +
                            "place: {format: int8, op: moe.avx2}, "
                            "prefill: {device: 'cuda:0', format: int4/64}}\n" +
                            rest);
  const auto& planned = at(plan, "model.layers.2.mlp.experts");
  CHECK(planned.device == "cpu");
  CHECK(planned.prefill_device == "cuda:0");
  CHECK_FALSE(planned.stream);
  CHECK(planned.decode.name == "avx2");
  CHECK(planned.prefill.name == "cuda");
  REQUIRE(planned.prefill_weights.size() == 3);
  CHECK(planned.weights[0].format == Format::int8);
  CHECK(planned.prefill_weights[0].format == Format::int4_64);
  CHECK(planned.prefill_weights[0].parts[0].node == WeightPart::no_node);
  CHECK(planned.bytes == 3 * (planned.weights[0].bytes + planned.prefill_weights[0].bytes));

  const auto mirror =
      plan_of(experts + "place: {device: 'cuda:0'}, decode: {device: cpu, numa: shard}}\n" + rest);
  const auto& other = at(mirror, "model.layers.2.mlp.experts");
  CHECK(other.device == "cpu");
  CHECK(other.prefill_device == "cuda:0");
  CHECK(other.decode.name == "avx512_vnni");
  CHECK(other.prefill.name == "cuda");
  CHECK(other.numa == NumaPolicy{NumaKind::node, 0});
}

TEST_CASE("experts pass through a GPU: no copy, and the CPU's kernels") {
  const auto plan = plan_of(
      experts + "place: {}, prefill: {device: 'cuda:0', stream: yes, op: moe.avx512}}\n" + rest);
  const auto& planned = at(plan, "model.layers.2.mlp.experts");
  CHECK(planned.device == "cpu");
  CHECK(planned.prefill_device == "cuda:0");
  CHECK(planned.stream);
  CHECK(planned.prefill_weights.empty());
  CHECK(planned.prefill.name == "avx512");
  CHECK(planned.bytes == 3 * planned.weights[0].bytes);
}

TEST_CASE("what streaming needs") {
  CHECK(error_with(experts + "place: {stream: yes}}\n" + rest) ==
        "r.yaml:3:66: stream: only prompts stream experts\n"
        "  note: give it in prefill: {device: cuda:0, stream: yes}");
  CHECK(error_with(experts + "place: {}, decode: {stream: yes}}\n" + rest)
            .find("stream: only prompts stream experts") != std::string::npos);
  CHECK(error_with(experts + "place: {}, prefill: {stream: yes}}\n" + rest) ==
        "r.yaml:3:79: stream: model.layers.1.mlp.experts prefills on cpu; experts pass through a "
        "GPU\n  note: give it, e.g. prefill: {device: cuda:0, stream: yes}");
  CHECK(error_with(experts +
                   "place: {device: 'cuda:0'}, prefill: {device: 'cuda:1', stream: yes}}\n" + rest)
            .find("stream: model.layers.1.mlp.experts lies on cuda:0; only experts on the cpu "
                  "pass through a GPU") != std::string::npos);
  CHECK(error_with(experts +
                   "place: {}, prefill: {device: 'cuda:0', stream: yes, format: int8}}\n" + rest)
            .find("prefill: the format can't differ from that of place") != std::string::npos);
  CHECK(error_with(experts + "place: {op: moe.ref}, prefill: {device: 'cuda:0', stream: yes}}\n" +
                   rest)
            .find("stream: cuda:0 can't run experts of model.layers.1.mlp.experts: moe.cuda "
                  "reads groups of 16 rows") != std::string::npos);
}

TEST_CASE("attention has one device, and experts stay in both phases") {
  const std::string attention = "  - {name: a, match: {name: kv_b_proj}, place: {}, ";
  CHECK(error_with(attention + "prefill: {device: 'cuda:0'}}\n" + rest)
            .find("prefill: device cuda:0 differs from cpu of place: attention runs both phases "
                  "where its KV cache lies") != std::string::npos);
  CHECK(error_with(attention + "decode: {device: 'cuda:0'}}\n" + rest)
            .find("decode: device cuda:0 differs from cpu of place: attention") !=
        std::string::npos);
  CHECK(error_with(experts + "place: {}, decode: {experts: {resident: 1, on: 'cuda:0'}}}\n" + rest)
            .find("decode: experts stay where they are in both phases\n"
                  "  note: give experts in place") != std::string::npos);
}
