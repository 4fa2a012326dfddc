// llama.cpp's tensor overrides as ktx rules.
#include "placement/import/tensor_overrides.hpp"

#include "../sample.hpp"
#include "catch.hpp"
#include "placement/planner.hpp"

using namespace ktx;
using namespace ktx::placement;

namespace {

std::string imported(const std::string& overrides) {
  const auto model = sample::deepseek();
  return import_tensor_overrides(overrides, {model, "sample", model::Naming::hugging_face});
}

Plan plan_of(const std::string& rules) {
  return make_plan(sample::rules(rules), sample::deepseek(), sample::machine_with_gpus(2), {});
}

std::string device_of(const Plan& plan, const std::string& path) {
  for (const auto& planned : plan.modules)
    if (plan.model.modules[static_cast<size_t>(planned.module)].path == path) return planned.device;
  return "none";
}

std::string error_in(const std::string& overrides) {
  return sample::error_of([&] { imported(overrides); });
}

}  // namespace

TEST_CASE("a line break in an override stays in its comment") {
  const auto text = imported("exps\n  - name: x\r=CPU");
  CHECK(text.find("\n  # exps   - name: x =CPU\n") != std::string::npos);
  CHECK(device_of(plan_of(text), "lm_head") == "cuda:0");
}

TEST_CASE("experts on the CPU, the usual override") {
  const auto text = imported("exps=CPU");
  CHECK(
      text ==
      R"(# llama.cpp's --override-tensor 'exps=CPU', translated by ktx-plan import for the modules of sample.
# What no override takes lies where --n-gpu-layers 99 puts it. What has no equal in ktx stands in a
#   comment.
ktx: 1
rules:
  # exps=CPU
  - name: moe.experts of override 1
    match: {class: moe.experts}
    place: {device: cpu}
    prefill: {device: 'cuda:0', stream: yes}

  # What no override takes: the token embedding on the CPU, all else on GPUs.
  - name: embedding of the rest
    match: {class: embedding}
    place: {device: cpu}
  - name: rest
    match: {name: '.*'}
    place: {device: 'cuda:0'}
)");
  const auto plan = plan_of(text);
  CHECK(device_of(plan, "model.layers.1.mlp.experts") == "cpu");
  CHECK(device_of(plan, "model.layers.1.mlp.shared_experts.up_proj") == "cuda:0");
  CHECK(device_of(plan, "model.embed_tokens") == "cpu");
}

TEST_CASE("the first override that matches a tensor's name decides, layer by layer") {
  const auto text = imported(R"(blk\.(1)\.ffn_.*=CUDA0,blk\.[2-9]\.ffn_.*_exps=CUDA1,exps=CPU)");
  INFO(text);
  const auto plan = plan_of(text);
  CHECK(device_of(plan, "model.layers.1.mlp.experts") == "cuda:0");
  CHECK(device_of(plan, "model.layers.2.mlp.experts") == "cuda:1");
  CHECK(device_of(plan, "model.layers.0.self_attn.o_proj") == "cuda:0");
  CHECK(device_of(plan, "model.layers.3.self_attn.o_proj") == "cuda:1");  // spread
  CHECK(device_of(plan, "lm_head") == "cuda:1");
  CHECK(text.find("no equal: no tensor of the model matches that an earlier override leaves") !=
        std::string::npos);
}

TEST_CASE("the head is on the last GPU, alone too") {
  const auto text = imported("blk=CUDA0,output_norm=CUDA1");
  INFO(text);
  const auto plan = plan_of(text);
  CHECK(device_of(plan, "model.layers.3.self_attn.o_proj") == "cuda:0");
  CHECK(device_of(plan, "lm_head") == "cuda:1");
}

TEST_CASE("a module's weights are not parted: the CPU has the room") {
  for (const char* overrides : {"ffn_(up|gate)_exps=CUDA0,ffn_down_exps=CPU", "ffn_down_exps=CPU",
                                "_(up|gate)_exps.=CPU"}) {
    const auto text = imported(overrides);
    INFO(text);
    CHECK(device_of(plan_of(text), "model.layers.1.mlp.experts") == "cpu");
    CHECK(text.find("no equal: a module's weights lie on one device in ktx") != std::string::npos);
    CHECK(text.find("experts: {vram: SIZE}") != std::string::npos);
  }
  // A bias has no say.
  CHECK(imported("ffn_gate_inp=CUDA1").find("# no equal") == std::string::npos);
}

TEST_CASE("other buffers") {
  CHECK(imported("exps=CUDA_Host").find("no equal: CUDA_Host: ktx pins by itself") !=
        std::string::npos);
  const auto text = imported("exps=Vulkan1");
  CHECK(text.find("no equal: Vulkan1: ktx runs on CPUs and NVIDIA's GPUs") != std::string::npos);
  CHECK(device_of(plan_of(text), "model.layers.1.mlp.experts") == "cuda:1");
  CHECK(imported("exps=CPU_REPACK").find("no equal: CPU_REPACK: ktx packs weights") !=
        std::string::npos);
}

TEST_CASE("where all is named there is no rest") {
  const auto rules = sample::rules(imported(".*=CPU"));
  REQUIRE(rules.rules.size() == 1);
  CHECK(rules.rules[0].name == "modules of override 1");
}

TEST_CASE("what is no override") {
  CHECK(error_in("exps=CUDA") ==
        "--ot, column 6: unknown buffer 'CUDA'\n  note: did you mean 'CUDA0' or 'CUDA1'?\n"
        "  note: valid buffers: CPU, CUDA0, CUDA1");
  for (const std::string buffer : {"CPUfoo", "CPU;attn=CUDA0", "CPU_", "CUDA_Hosts", "CUDA0;a"})
    CHECK(
        error_in("exps=" + buffer).starts_with("--ot, column 6: unknown buffer '" + buffer + "'"));
  const std::string example =
      "\n  note: an example: --ot 'exps=CPU'; overrides are separated by commas, so a regex "
      "can't contain one";
  CHECK(error_in("exps") == "--ot, column 1: expected regex=BUFFER, found 'exps'" + example);
  CHECK(error_in("exps=CPU,a{1,2}=CPU") ==
        "--ot, column 10: expected regex=BUFFER, found 'a{1'" + example);
  CHECK(error_in("exps=CPU,") == "--ot, column 10: expected regex=BUFFER, found ''" + example);
  CHECK(error_in("=CPU") == "--ot, column 1: expected regex=BUFFER, found '=CPU'" + example);
  CHECK(error_in("(=CPU").starts_with("--ot, column 1: regular expression '(' does not compile"));
}
