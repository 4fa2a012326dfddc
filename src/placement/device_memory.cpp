// Memory of devices.
#include "placement/device_memory.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "placement/numa.hpp"
#include "placement/values.hpp"

namespace ktx::placement {

namespace {

DeviceMemory& memory_of(Plan& plan, const std::string& device) {
  for (auto& memory : plan.devices)
    if (memory.device == device) return memory;
  DeviceMemory memory{.device = device};
  if (is_gpu(device)) memory.driver = driver_bytes;
  const auto before = std::ranges::find_if(plan.devices, [&](const auto& other) {
    return is_gpu(other.device) && device_number(other.device) > device_number(device);
  });
  return *plan.devices.insert(before, std::move(memory));
}

// The index of the KV cache that a node writes; -1: it has none.
int cache_of(const graph::Node& node) {
  if (const auto* mla = std::get_if<graph::MlaParams>(&node.params)) return mla->cache;
  if (const auto* gqa = std::get_if<graph::GqaParams>(&node.params)) return gqa->cache;
  return -1;
}

void add_cache(const Plan& plan, const graph::KvRow& row, uint64_t& sum) {
  const auto tokens = static_cast<uint64_t>(plan.cache_pages * graph::page_tokens);
  constexpr int64_t most_numbers = int64_t{1} << 48;  // their size in bytes still fits 64 bits
  uint64_t bytes = 0;
  if (row.scaled < 0 || row.scaled > most_numbers || row.exact < 0 || row.exact > most_numbers ||
      __builtin_mul_overflow(static_cast<uint64_t>(graph::row_bytes(plan.cache_format, row)),
                             tokens, &bytes) ||
      __builtin_add_overflow(sum, bytes, &sum))
    throw_input("context: a KV cache of " + std::to_string(plan.cache_length) +
                " tokens has more bytes than 64 bits can count, at " +
                std::to_string(row.numbers()) + " numbers a token in one layer");
}

// A cache is stored where its attention runs.
void count_cache(Plan& plan) {
  for (const auto& node : plan.model.graph.nodes) {
    const int cache = cache_of(node);
    const auto* planned = cache < 0 ? nullptr : plan.find(node.module);
    if (planned == nullptr) continue;
    add_cache(plan, plan.model.info.caches.at(static_cast<size_t>(cache)),
              memory_of(plan, planned->device).cache);
  }
}

uint64_t sum(const std::vector<PlannedWeight>& weights) {
  uint64_t bytes = 0;
  for (const auto& weight : weights) bytes += weight.bytes;
  return bytes;
}

void count_page_tables(Plan& plan) {
  if (!plan.streams()) return;
  const uint64_t tables = memory_of(plan, "cpu").weights / mapped_bytes_per_byte;
  for (auto& memory : plan.devices)
    if (is_gpu(memory.device)) memory.driver = driver_bytes + tables;
}

std::string cache_text(const Plan& plan) {
  return "KV cache of " +
         (plan.sessions > 1 ? std::to_string(plan.sessions) + " sessions of " : "") +
         std::to_string(plan.cache_length) + " tokens ";
}

// Whether routed experts, or in a model without them any matrices, have 8 bits or more.
bool has_wide_weights(const Plan& plan) {
  constexpr double wide_bits = 8;
  return std::ranges::any_of(plan.modules, [&](const auto& planned) {
    const bool counts = plan.model.info.experts == 0 || plan.module_of(planned).op == "moe";
    return counts && std::ranges::any_of(planned.weights, [](const auto& weight) {
             return quant::bits_per_weight(weight.format) >= wide_bits;
           });
  });
}

// What would help most on a device.
std::string advice(const Plan& plan, const DeviceMemory& memory) {
  const uint64_t step = memory.activations + memory.scratch + memory.streaming;
  if (memory.cache > std::max(memory.weights, step))
    return "a shorter context (--context) or fewer sessions would help most";
  if (step > memory.weights) return "a smaller prefill_chunk (--prefill-chunk) would help most";
  if (!is_gpu(memory.device))
    return has_wide_weights(plan)
               ? "a smaller format for the largest modules would help, e.g. int4/64 for the routed "
                 "experts"
               : "a checkpoint with fewer bits per weight would help";
  for (const auto& planned : plan.modules)
    if (planned.residents.device == memory.device)
      return "fewer resident experts would help, or experts: {vram: SIZE} to fill what is left";
  return "modules on the cpu or another GPU would help, or a smaller format for the largest ones";
}

void check_device(const Plan& plan, const DeviceMemory& memory, uint64_t has,
                  const std::string& whose) {
  const uint64_t needed = memory.most();
  if (has == 0 || needed <= has) return;
  const auto text = [](uint64_t bytes) { return base::format_bytes(bytes); };
  std::string parts = "weights " + text(memory.weights);
  if (memory.cache > 0) parts += ", " + cache_text(plan) + text(memory.cache);
  parts += ", activations " + text(memory.activations + memory.scratch + memory.rope_tables);
  if (memory.streaming > 0) parts += ", streamed experts " + text(memory.streaming);
  if (memory.driver > 0) parts += ", the driver " + text(memory.driver);
  throw_environment("the plan needs " + text(needed) + " of " + whose + " has " + text(has),
                    plan.rules_file, {parts, advice(plan, memory)});
}

void check_memory_of_nodes(const Plan& plan) {
  const auto needed = bytes_of_nodes(plan);
  for (size_t n = 0; n < needed.size(); ++n) {
    const auto& node = plan.machine.nodes[n];
    if (node.memory_bytes == 0 || needed[n] <= node.memory_bytes) continue;
    throw_environment(
        "the plan needs " + base::format_bytes(needed[n]) + " of memory on NUMA node " +
            std::to_string(node.id) + ", which has " + base::format_bytes(node.memory_bytes),
        plan.rules_file,
        {"numa: replicate stores a copy on every node; shard and interleave store one "
         "copy over all nodes"});
  }
}

}  // namespace

uint64_t kept_free(const std::string& device, uint64_t memory) {
  constexpr uint64_t on_gpu = uint64_t{512} << 20, on_cpu = uint64_t{2} << 30;
  return std::min(is_gpu(device) ? on_gpu : on_cpu, memory / 16);
}

void sum_up_memory(Plan& plan) {
  plan.devices.clear();
  memory_of(plan, "cpu");
  count_cache(plan);
  count_weights(plan);
}

void add_run_memory(const std::vector<DeviceMemory>& needs, Plan& plan) {
  for (const auto& need : needs) {
    auto& memory = memory_of(plan, need.device);
    memory.activations += need.activations;
    memory.scratch += need.scratch;
    memory.rope_tables += need.rope_tables;
    memory.streaming += need.streaming;
    memory.loading += need.loading;
  }
}

void count_weights(Plan& plan) {
  for (auto& memory : plan.devices) memory.weights = 0;
  for (auto& planned : plan.modules) {
    planned.bytes = sum(planned.weights) + sum(planned.prefill_weights) + planned.residents.bytes;
    memory_of(plan, planned.device).weights += sum(planned.weights);
    memory_of(plan, planned.prefill_device).weights += sum(planned.prefill_weights);
    if (!planned.residents.experts.empty())
      memory_of(plan, planned.residents.device).weights += planned.residents.bytes;
  }
  count_page_tables(plan);
}

void check_memory(const Plan& plan) {
  for (const auto& memory : plan.devices) {
    if (!is_gpu(memory.device)) {
      check_device(plan, memory, plan.machine.memory_bytes(), "memory, this machine");
      continue;
    }
    const auto& gpu = plan.machine.gpus[static_cast<size_t>(device_number(memory.device))];
    check_device(plan, memory, gpu.memory_bytes, memory.device + "'s memory, this " + gpu.name);
  }
  check_memory_of_nodes(plan);
}

}  // namespace ktx::placement
