// A plan as JSON.
#include "core/graph/op.hpp"
#include "placement/explain.hpp"
#include "placement/numa.hpp"
#include "placement/totals.hpp"

namespace ktx::placement {

namespace {

Json known(double value) {
  return value > 0 ? Json(value) : Json(nullptr);
}

Json machine_json(const hw::Machine& machine) {
  Json nodes = Json::array();
  for (const auto& node : machine.nodes)
    nodes.push_back({{"id", node.id},
                     {"cores", node.cores},
                     {"threads", node.cpus.size()},
                     {"memory_bytes", node.memory_bytes}});
  Json gpus = Json::array();
  for (const auto& gpu : machine.gpus)
    gpus.push_back({{"name", gpu.name}, {"memory_bytes", gpu.memory_bytes}});
  return {{"name", machine.name},
          {"isa", hw::name(machine.isa)},
          {"memory_bytes", machine.memory_bytes()},
          {"read_bandwidth", known(machine.read_bandwidth)},
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

Json module_json(const Plan& plan, const PlannedModule& planned) {
  const auto& module = plan.model.modules[static_cast<size_t>(planned.module)];
  Json weights = Json::array();
  for (size_t i = 0; i < planned.weights.size(); ++i) {
    const auto& weight = planned.weights[i];
    const auto& shape = module.weights[i];
    weights.push_back({{"role", weight.role},
                       {"count", shape.count},
                       {"rows", shape.rows},
                       {"cols", shape.cols},
                       {"source", quant::name(weight.source)},
                       {"format", quant::name(weight.format)},
                       {"bytes", weight.bytes}});
  }
  return {{"path", module.path},
          {"classes", module.classes},
          {"layer", module.layer},
          {"op", module.op},
          {"device", planned.device},
          {"decode", kernel_json(planned.decode)},
          {"prefill", kernel_json(planned.prefill)},
          {"numa", to_string(planned.numa)},
          {"weights", std::move(weights)},
          {"note", planned.note},
          {"numa_note", planned.numa_note},
          {"bytes", planned.bytes},
          {"bytes_per_token", planned.bytes_per_token},
          {"rule", {{"name", planned.rule_name}, {"where", planned.rule_where}}}};
}

Json totals_json(const Plan& plan) {
  const auto sums = totals(plan);
  Json devices = Json::object(), experts = Json::array(), nodes = Json::array();
  for (const auto& [name, bytes] : sums.devices) devices[name] = bytes;
  for (const auto& use : sums.experts)
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
          {"cache_bytes", plan.cache_bytes},
          {"prefill_chunk", plan.prefill_chunk},
          {"step_rows", plan.step_rows()},
          {"workspaces", plan.workspaces()},
          {"max_experts_per_token", plan.max_experts_per_token},
          {"activation_bytes", plan.activation_bytes},
          {"scratch_bytes", plan.run_memory.scratch},
          {"rope_table_bytes", plan.run_memory.rope_tables},
          {"loading_bytes", plan.run_memory.loading},
          {"memory_bytes", sums.memory},
          {"devices", std::move(devices)},
          {"nodes", std::move(nodes)},
          {"experts_per_token", std::move(experts)},
          {"bytes_per_token", plan.bytes_per_token()},
          {"threads", plan.threads},
          {"predicted_decode_tokens_per_second", known(plan.predicted_decode)}};
}

}  // namespace

Json to_json(const Plan& plan) {
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
          {"warnings", warnings(plan)},
          {"settings", std::move(settings)},
          {"modules", std::move(modules)},
          {"rules", std::move(rules)},
          {"unused", std::move(unused)},
          {"totals", totals_json(plan)}};
}

}  // namespace ktx::placement
