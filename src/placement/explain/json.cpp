// A plan as JSON.
#include "placement/explain/json.hpp"

#include <algorithm>
#include <iterator>

#include "core/graph/op.hpp"
#include "placement/explain/text.hpp"
#include "placement/numa.hpp"
#include "placement/totals.hpp"

namespace ktx::placement {

namespace {

Json known(double value) {
  return value > 0 ? Json(value) : Json(nullptr);
}

Json predicted_prefill_json(const Plan& plan) {
  Json out = Json::array();
  for (const auto& [tokens, rate] : plan.predicted_prefill)
    out.push_back({{"tokens", tokens}, {"tokens_per_second", rate}});
  return out;
}

Json machine_json(const hw::Machine& machine) {
  Json nodes = Json::array();
  for (const auto& node : machine.nodes)
    nodes.push_back({{"id", node.id},
                     {"cores", node.cores},
                     {"threads", node.cpus.size()},
                     {"memory_bytes", node.memory_bytes},
                     {"read_bandwidth", known(node.read_bandwidth)}});
  Json gpus = Json::array();
  for (const auto& gpu : machine.gpus)
    gpus.push_back({{"name", gpu.name},
                    {"memory_bytes", gpu.memory_bytes},
                    {"read_bandwidth", known(gpu.read_bandwidth)},
                    {"copy_bandwidth", known(gpu.copy_bandwidth)},
                    {"copy_while_reading", known(gpu.copy_while_reading)},
                    {"peer_bandwidth", known(gpu.peer_bandwidth)},
                    {"tensor_flops", known(gpu.tensor_flops)}});
  return {{"name", machine.name},
          {"isa", hw::name(machine.isa)},
          {"memory_bytes", machine.memory_bytes()},
          {"sockets", machine.sockets},
          {"read_bandwidth", known(machine.read_bandwidth)},
          {"read_while_copying", known(machine.read_while_copying)},
          {"disk_bandwidth", known(machine.disk_bandwidth)},
          {"tensor_flops", known(machine.tensor_flops)},
          {"nodes", std::move(nodes)},
          {"gpus", std::move(gpus)}};
}

Json model_json(const graph::ModelInfo& info) {
  return {{"architecture", info.architecture},
          {"name", info.name},
          {"layers", info.layers},
          {"hidden", info.hidden},
          {"vocab", info.vocab},
          {"context", info.context},
          {"experts", info.experts}};
}

Json kernel_json(const KernelPick& pick) {
  Json skipped = Json::array();
  for (const auto& row : pick.skipped)
    skipped.push_back({{"kernel", row.name}, {"reason", row.reason}});
  return {{"kernel", pick.name}, {"skipped", std::move(skipped)}};
}

Json weights_json(const graph::Module& module, const std::vector<PlannedWeight>& planned) {
  Json weights = Json::array();
  for (size_t i = 0; i < planned.size(); ++i) {
    const auto& shape = module.weights[i];
    weights.push_back({{"role", planned[i].role},
                       {"count", shape.count},
                       {"rows", shape.rows},
                       {"cols", shape.cols},
                       {"source", quant::name(planned[i].source)},
                       {"format", quant::name(planned[i].format)},
                       {"bytes", planned[i].bytes}});
  }
  return weights;
}

Json residents_json(const PlannedResidents& residents) {
  if (residents.experts.empty()) return nullptr;
  return {{"device", residents.device},
          {"experts", residents.experts},
          {"keep_ram", residents.keep_ram},
          {"bytes", residents.bytes}};
}

Json module_json(const Plan& plan, const PlannedModule& planned) {
  const auto& module = plan.module_of(planned);
  return {{"path", module.path},
          {"classes", module.classes},
          {"layer", module.layer},
          {"op", module.op},
          {"device", planned.device},
          {"prefill_device", planned.prefill_device},
          {"stream", planned.stream},
          {"stream_share", known(planned.stream_share)},
          {"residents", residents_json(planned.residents)},
          {"deferred", planned.deferred},
          {"decode", kernel_json(planned.decode)},
          {"prefill", kernel_json(planned.prefill)},
          {"numa", has_numa(planned) ? Json(to_string(planned.numa)) : Json(nullptr)},
          {"weights", weights_json(module, planned.weights)},
          {"prefill_weights", weights_json(module, planned.prefill_weights)},
          {"note", planned.note},
          {"numa_note", planned.numa_note},
          {"bytes", planned.bytes},
          {"bytes_per_token", planned.bytes_per_token},
          {"rule", {{"name", planned.rule_name}, {"where", planned.rule_where}}}};
}

Json device_json(const DeviceMemory& memory) {
  return {{"device", memory.device},
          {"weight_bytes", memory.weights},
          {"cache_bytes", memory.cache},
          {"activation_bytes", memory.activations},
          {"scratch_bytes", memory.scratch},
          {"rope_table_bytes", memory.rope_tables},
          {"streaming_bytes", memory.streaming},
          {"driver_bytes", memory.driver},
          {"loading_bytes", memory.loading},
          {"most_bytes", memory.most()}};
}

Json totals_json(const Plan& plan) {
  Json devices = Json::array(), experts = Json::array(), nodes = Json::array();
  for (const auto& memory : plan.devices) devices.push_back(device_json(memory));
  for (const auto& use : experts_used(plan))
    experts.push_back({{"per_token", use.per_token},
                       {"experts", use.experts},
                       {"layers", to_string(ranges_of(use.layers))}});
  const auto node_bytes = bytes_of_nodes(plan);
  for (size_t n = 0; n < node_bytes.size(); ++n)
    nodes.push_back({{"id", plan.machine.nodes[n].id},
                     {"bytes", node_bytes[n]},
                     {"threads", plan.node_threads[n]}});
  return {{"weight_bytes", plan.weight_bytes()},
          {"sessions", plan.sessions},
          {"cache_length", plan.cache_length},
          {"cache_format", graph::info(plan.cache_format).name},
          {"cache_pages", plan.cache_pages},
          {"cache_bytes", plan.cache_bytes()},
          {"prefill_chunk", plan.prefill_chunk},
          {"decode_rows", plan.decode_rows()},
          {"max_experts_per_token", plan.max_experts_per_token},
          {"devices", std::move(devices)},
          {"nodes", std::move(nodes)},
          {"experts_per_token", std::move(experts)},
          {"bytes_per_token", plan.bytes_per_token()},
          {"threads", plan.threads},
          {"decode_threads", plan.decode_threads > 0 ? Json(plan.decode_threads) : Json()},
          {"predicted_decode_tokens_per_second", known(plan.predicted_decode)},
          {"predicted_decode_depth", plan.predicted_depth},
          {"predicted_prefill", predicted_prefill_json(plan)}};
}

}  // namespace

Json to_json(const Plan& plan, const std::vector<std::string>& further) {
  auto lines = further;
  std::ranges::copy(warnings(plan), std::back_inserter(lines));
  Json modules = Json::array(), rules = Json::array(), unused = Json::array();
  Json settings = Json::array();
  for (const auto& setting : plan.settings)
    settings.push_back({{"name", setting.name}, {"value", setting.value}, {"from", setting.from}});
  for (const auto& planned : plan.modules) modules.push_back(module_json(plan, planned));
  for (const auto& rule : plan.rules)
    rules.push_back({{"name", rule.name},
                     {"where", rule.where},
                     {"text", rule.text},
                     {"modules", rule.modules},
                     {"bytes", rule.bytes}});
  for (const auto& module : plan.model.modules)
    if (!module.unused.empty())
      unused.push_back({{"path", module.path}, {"reason", module.unused}});
  return {{"ktx", 1},
          {"rules_file", plan.rules_file},
          {"machine", machine_json(plan.machine)},
          {"model", model_json(plan.model.info)},
          {"warnings", lines},
          {"settings", std::move(settings)},
          {"modules", std::move(modules)},
          {"rules", std::move(rules)},
          {"unused", std::move(unused)},
          {"totals", totals_json(plan)}};
}

}  // namespace ktx::placement
