// The planner.
#include "placement/planner.hpp"

#include <algorithm>
#include <cmath>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "placement/apply.hpp"
#include "placement/kernel_choice.hpp"
#include "placement/keywords.hpp"
#include "placement/match.hpp"
#include "placement/numa.hpp"
#include "placement/values.hpp"
#include "placement/weights.hpp"

namespace ktx::placement {

namespace {

// Settings of the plan as a whole; its machine and model are there.
void apply_settings(const Rules& rules, const PlanOptions& options, Plan& plan) {
  const Setup setup{rules, options, plan};
  for (const auto& keyword : model_keywords()) keyword.apply(setup);
  for (const auto& keyword : cache_keywords()) keyword.apply(setup);
  for (const auto& keyword : file_keywords())
    if (keyword.apply != nullptr) keyword.apply(setup);
  plan.cache_pages = plan.sessions * graph::pages_of(plan.cache_length);
}

void decide(const Place& place, Decision& decision) {
  for (const auto& keyword : place_keywords()) keyword.apply(place, decision);
}

// What may differ between the phases is the kernel alone: one copy of the weights serves both.
OpChoice phase_kernel(const std::optional<Place>& place, const Place& base, const Decision& both,
                      const char* phase) {
  if (!place) return both.kernel;
  Decision decision = both;
  decide(*place, decision);
  const std::string start = std::string(phase) + ": ";
  if (place->format && decision.format != both.format)
    throw_input(start +
                    "the format can't differ from that of place: weights are stored once, for "
                    "both phases",
                place->format->where, {"give the format in place"});
  if (place->devices && decision.device != both.device)
    throw_input(start + "device " + decision.device + " differs from " + both.device +
                    " of place: this version runs both phases of a module on one device",
                place->devices->where);
  if (place->numa && (!base.numa || !(place->numa->value == base.numa->value)))
    throw_input(start +
                    "the numa policy can't differ from that of place: weights are stored once, for "
                    "both phases",
                place->numa->where, {"give numa in place"});
  return decision.kernel;
}

std::string unapplied_format(const Decision& decision, const std::vector<PlannedWeight>& weights) {
  if (!decision.format || *decision.format == quant::Format::f32 || weights.empty()) return "";
  for (size_t i = 0; i < weights.size(); ++i)
    if (!always_f32(decision.op, decision.module->weights[i])) return "";
  const char* why = decision.op == graph::Op::router     ? "routers"
                    : decision.op == graph::Op::rms_norm ? "norms"
                                                         : "vectors";
  return "f32, not " + std::string(quant::name(*decision.format)) + ": " + why +
         " always run in f32";
}

NumaPolicy choose_policy(const Decision& decision, std::span<const int> node_threads,
                         std::string& note) {
  const auto& nodes = decision.machine->nodes;
  const auto policy = effective_policy(decision.op, decision.numa ? &decision.numa->value : nullptr,
                                       *decision.machine, note);
  for (size_t n = 0; n < nodes.size(); ++n)
    if (policy.kind == NumaKind::node && policy.node == nodes[n].id && node_threads[n] == 0)
      throw_input(
          "numa: " + to_string(policy) + ": no worker runs on that node", decision.numa->where,
          {"the " + std::to_string(decision.machine->core_count()) +
           " cores of this machine share the threads: more of them (--threads) would help"});
  return policy;
}

PlannedModule plan_module(const Rule& rule, const graph::Module& module, const Plan& plan) {
  const auto& machine = plan.machine;
  Decision decision{.machine = &machine, .module = &module, .op = op_of(module)};
  decide(rule.place, decision);
  const auto decode = phase_kernel(rule.decode, rule.place, decision, "decode");
  const auto prefill = phase_kernel(rule.prefill, rule.place, decision, "prefill");
  const auto formats = choose_formats(decision);

  PlannedModule planned;
  planned.device = planned.prefill_device = decision.device;
  planned.numa = choose_policy(decision, plan.node_threads, planned.numa_note);
  planned.rule_name = rule.name;
  planned.rule_where = file_and_line(rule.where);
  const KernelTask task{&module, decision.op, formats, device_kind(decision.device), machine.isa};
  auto kernels = choose_kernels(task, ops::kernels(decision.op), decode, prefill);
  planned.decode = std::move(kernels.decode);
  planned.prefill = std::move(kernels.prefill);
  for (size_t i = 0; i < formats.size(); ++i) {
    const auto& weight = module.weights[i];
    auto& stored = planned.weights.emplace_back(
        PlannedWeight{weight.role, weight.source, formats[i], kernels.layouts[i]});
    stored.parts = parts_of(weight, is_packed(decision.op, weight), stored, planned.numa, machine,
                            plan.node_threads);
    for (const auto& part : stored.parts) stored.bytes += part.bytes;
    planned.bytes += stored.bytes;
  }
  planned.note = unapplied_format(decision, planned.weights);
  return planned;
}

// A format that no module of its rule takes is a mistake, not a wish for norms to stay as they are.
void check_format_applies(const Rule& rule, const Plan& plan) {
  if (!rule.place.format) return;
  const PlannedModule* first = nullptr;
  for (const auto& planned : plan.modules) {
    if (planned.rule_name != rule.name) continue;
    if (planned.note.empty() && !planned.weights.empty()) return;
    if (first == nullptr || first->note.empty()) first = &planned;
  }
  if (first == nullptr || !rule.place.format->value) return;
  const auto& path = plan.model.modules[static_cast<size_t>(first->module)].path;
  throw_input("format " + std::string(quant::name(*rule.place.format->value)) + ": rule '" +
                  rule.name + "' matches no module whose weights can be stored in another format",
              rule.place.format->where,
              {path + ": " + (first->note.empty() ? "has no weights" : first->note),
               "leave the format out, or use keep"});
}

void sum_up_rules(const Rules& rules, Plan& plan) {
  for (const auto& rule : rules.rules) {
    PlannedRule sum{rule.name, file_and_line(rule.where), rule.text};
    for (const auto& planned : plan.modules)
      if (planned.rule_name == rule.name) {
        ++sum.modules;
        sum.bytes += planned.bytes;
      }
    plan.rules.push_back(std::move(sum));
  }
}

uint64_t cache_bytes(const Plan& plan) {
  uint64_t sum = 0;
  const auto tokens = static_cast<uint64_t>(plan.cache_pages * graph::page_tokens);
  for (const auto& row : plan.model.info.caches) {
    constexpr int64_t most_numbers = int64_t{1} << 48;  // their bytes still fit 64 bits
    uint64_t bytes = 0;
    if (row.scaled < 0 || row.scaled > most_numbers || row.exact < 0 || row.exact > most_numbers ||
        __builtin_mul_overflow(static_cast<uint64_t>(graph::row_bytes(plan.cache_format, row)),
                               tokens, &bytes) ||
        __builtin_add_overflow(sum, bytes, &sum))
      throw_input("context: a KV cache of " + std::to_string(plan.cache_length) +
                  " tokens has more bytes than 64 bits can count, at " +
                  std::to_string(row.numbers()) + " numbers a token in one layer");
  }
  return sum;
}

void sum_up_memory(Plan& plan) {
  plan.cache_bytes = cache_bytes(plan);
  if (plan.model.graph.nodes.empty()) return;
  const auto layout =
      graph::layout_values(plan.model.graph, plan.step_rows(), graph::max_logit_rows);
  plan.activation_bytes =
      static_cast<uint64_t>(plan.workspaces()) * static_cast<uint64_t>(layout.size);
}

// A module whose weights all lie on one node is read at that node's bandwidth alone.
void predict_decode(Plan& plan) {
  const auto share = read_share(plan);
  double bytes_read = 0;  // counted once for every node that has to wait
  for (auto& planned : plan.modules) {
    const auto& module = plan.model.modules[static_cast<size_t>(planned.module)];
    uint64_t bytes = 0;
    for (size_t i = 0; i < planned.weights.size(); ++i)
      bytes +=
          packed_bytes(module.weights[i], planned.weights[i].format, planned.weights[i].layout);
    const double read = static_cast<double>(bytes) * share[static_cast<size_t>(planned.module)];
    planned.bytes_per_token = static_cast<uint64_t>(std::llround(read));
    const bool one_node = planned.numa.kind == NumaKind::node;
    bytes_read += read * static_cast<double>(one_node ? plan.machine.nodes.size() : 1);
  }
  if (plan.machine.read_bandwidth > 0 && bytes_read > 0)
    plan.predicted_decode = plan.machine.read_bandwidth / bytes_read;
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

void check_memory(const Plan& plan) {
  const uint64_t memory = plan.machine.memory_bytes();
  const uint64_t needed = plan.memory_bytes();
  if (memory == 0 || needed <= memory) return;
  throw_environment(
      "the plan needs " + base::format_bytes(needed) + " of memory, this machine has " +
          base::format_bytes(memory),
      plan.rules_file,
      {"weights " + base::format_bytes(plan.weight_bytes()) + ", KV cache of " +
           (plan.sessions > 1 ? std::to_string(plan.sessions) + " sessions of " : "") +
           std::to_string(plan.cache_length) + " tokens " + base::format_bytes(plan.cache_bytes) +
           ", activations " +
           base::format_bytes(plan.activation_bytes + plan.run_memory.scratch +
                              plan.run_memory.rope_tables),
       plan.cache_bytes > plan.weight_bytes()
           ? "a shorter context (--context) or fewer sessions would help most"
           : "a smaller format for the largest modules would help, e.g. int4/64 for the routed "
             "experts"});
}

}  // namespace

Plan make_plan(const Rules& rules, graph::Model model, hw::Machine machine,
               const PlanOptions& options) {
  for (const auto& keyword : machine_keywords()) keyword.apply(rules.machine, machine);
  Plan plan;
  plan.rules_file = rules.file;
  plan.machine = std::move(machine);
  plan.model = std::move(model);
  apply_settings(rules, options, plan);

  const auto assigned = assign_rules(rules, plan.model);
  for (size_t i = 0; i < assigned.size(); ++i) {
    if (assigned[i] < 0) continue;
    const auto& rule = rules.rules[static_cast<size_t>(assigned[i])];
    plan.modules.push_back(plan_module(rule, plan.model.modules[i], plan));
    plan.modules.back().module = static_cast<int>(i);
  }
  for (const auto& rule : rules.rules) check_format_applies(rule, plan);
  sum_up_rules(rules, plan);
  sum_up_memory(plan);
  predict_decode(plan);
  if (options.run_memory) plan.run_memory = options.run_memory(plan);
  plan.run_memory.scratch *= static_cast<uint64_t>(plan.workspaces());
  check_memory(plan);
  check_memory_of_nodes(plan);
  return plan;
}

}  // namespace ktx::placement
