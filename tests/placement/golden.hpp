// Plans for the golden files, and their comparison.
#pragma once

#include <filesystem>
#include <string>

#include "placement/planner.hpp"
#include "sample.hpp"
#include "support/golden_file.hpp"

namespace ktx::placement::sample {

/// What the engine might say that running takes.
inline std::vector<DeviceMemory> run_memory(const Plan& plan) {
  std::vector<DeviceMemory> needs;
  for (const auto& memory : plan.devices)
    needs.push_back({.device = memory.device,
                     .activations = uint64_t{6} << 20,
                     .scratch = uint64_t{3} << 20,
                     .streaming = uint64_t{memory.driver > 0 ? 10u : 0u} << 20,
                     .loading = uint64_t{memory.driver > 0 ? 0u : 40u} << 20});
  return needs;
}

/// A plan with everything that EXPLAIN tells: phases, skipped kernels, notes, mixed formats.
inline Plan rich_plan() {
  const auto rules = sample::rules(R"(ktx: 1
machine: {ram: 1GiB}
model:
  experts_per_token: {default: 8, layers: {2: 6}}
rules:
  - name: head
    match: {class: head}
    place: {device: cpu, format: int4/64}
    decode: {op: linear.avx2}
  - name: attention
    match: {name: '\.self_attn\.'}
    place: {device: cpu, format: keep}
  - name: rest
    match: {name: '.*'}
    place: {device: cpu, format: int8, numa: replicate}
)");
  DeepSeek shape;
  shape.layers = 6;
  shape.matrices = quant::Format::q4_k;
  shape.down = quant::Format::q6_k;
  shape.q_lora = 256;
  auto machine = sample::machine(hw::Isa::avx512);
  machine.read_bandwidth = 20e9;
  return make_plan(rules, deepseek(shape), std::move(machine),
                   {.threads = 2, .run_memory = run_memory});
}

/// The checkpoint's formats under one rule.
inline Plan plain_plan(int layers = 6) {
  DeepSeek shape;
  shape.layers = layers;
  shape.matrices = quant::Format::q4_k;
  shape.down = quant::Format::q6_k;
  shape.q_lora = 256;
  return make_plan(
      rule_list("  - {name: everything, match: {name: '.*'}, place: {format: keep}}\n"),
      deepseek(shape), sample::machine(hw::Isa::avx512_vnni), {.threads = 4});
}

/// Two nodes of different size, and every NUMA policy.
inline Plan numa_plan() {
  const auto rules = sample::rules(R"(ktx: 1
rules:
  - name: routed experts
    match: {class: moe.experts}
    place: {numa: replicate}
  - name: head
    match: {class: head}
    place: {numa: 'node:1'}
  - name: attention
    match: {name: '\.self_attn\.'}
    place: {numa: shard}
  - name: shared experts
    match: {class: mlp.shared}
    place: {numa: interleave}
  - name: rest
    match: {name: '.*'}
    place: {}
)");
  auto machine = sample::machine(hw::Isa::avx512, 2);
  machine.nodes[1].cores = 4;
  machine.read_bandwidth = 20e9;
  return make_plan(rules, deepseek(), std::move(machine), {.threads = 5, .run_memory = run_memory});
}

/// Two GPUs that share the layers, experts on the CPU that pass through them or stay there.
inline Rules gpu_rules() {
  return sample::rules(R"(ktx: 1
rules:
  - name: late experts
    match: {class: moe.experts, layers: 4-5}
    place: {experts: {resident: 4, on: 'cuda:1'}}
    prefill: {device: 'cuda:1', stream: yes}
  - name: experts
    match: {class: moe.experts}
    place: {}
    prefill: {device: 'cuda:0', stream: yes}
  - name: head
    match: {class: head}
    place: {format: int8}
    prefill: {device: 'cuda:1', format: int4/64}
  - name: rest
    match: {name: '.*'}
    place: {device: ['cuda:0', 'cuda:1'], spread: layers}
)");
}

/// The box and the model of gpu_rules().
inline hw::Machine gpu_machine() {
  return with_speeds(machine_with_gpus(2));
}
inline DeepSeek gpu_shape() {
  DeepSeek shape;
  shape.layers = 6;
  shape.matrices = quant::Format::q4_k;
  shape.down = quant::Format::q6_k;
  shape.q_lora = 256;
  return shape;
}

/// What other rules make of them.
inline Plan gpu_plan(const Rules& rules = gpu_rules()) {
  return make_plan(rules, deepseek(gpu_shape()), gpu_machine(),
                   {.threads = 4, .run_memory = run_memory});
}

/// The text of a golden file of plans.
inline std::string golden(const std::string& name, const std::string& now) {
  return test::golden_file(std::filesystem::path(KTX_TEST_DATA) / "plans" / name, now);
}

}  // namespace ktx::placement::sample
