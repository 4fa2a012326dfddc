// Plans for the golden files, and their comparison.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/base/file.hpp"
#include "placement/planner.hpp"
#include "sample.hpp"

namespace ktx::placement::sample {

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
  return make_plan(rules, deepseek(shape), std::move(machine), {.threads = 2});
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
  return make_plan(rules, deepseek(), std::move(machine), {.threads = 5});
}

/// The golden file's text. With KTX_UPDATE_GOLDEN=1 in the environment it is first written anew.
inline std::string golden(const std::string& name, const std::string& now) {
  const auto file = std::filesystem::path(KTX_TEST_DATA) / "plans" / name;
  if (std::getenv("KTX_UPDATE_GOLDEN") != nullptr) base::write_file(file, now);
  return base::read_text(file);
}

}  // namespace ktx::placement::sample
