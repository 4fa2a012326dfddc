// The data of a plan's page, and the page around them.
#include "placement/explain/html.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "core/base/text.hpp"
#include "placement/explain/folded.hpp"
#include "placement/explain/lint.hpp"
#include "placement/explain/page.hpp"
#include "placement/explain/table.hpp"
#include "placement/explain/text.hpp"
#include "placement/explain/timeline.hpp"
#include "placement/numa.hpp"
#include "placement/totals.hpp"
#include "placement/values.hpp"

namespace ktx::placement {

namespace {

// What a module is, for its colour: the first row whose class it has.
struct Kind {
  const char* name;
  const char* class_name;  // null: all that is left
};
constexpr std::array kinds{
    Kind{"routed experts", "moe.experts"}, Kind{"attention", "attention"},
    Kind{"shared experts", "mlp.shared"},  Kind{"dense layers", "mlp.dense"},
    Kind{"router", "moe.router"},          Kind{"embedding, norms, head", nullptr},
};

size_t kind_of(const graph::Module& module) {
  const auto is = [&](const Kind& kind) {
    return kind.class_name == nullptr || module.has_class(kind.class_name);
  };
  return static_cast<size_t>(std::ranges::find_if(kinds, is) - kinds.begin());
}

Json heading_json(const Plan& plan) {
  const auto& info = plan.model.info;
  const auto& machine = plan.machine;
  std::string gpus;
  for (const auto& gpu : machine.gpus)
    gpus += ", " + gpu.name + " " + base::format_bytes(gpu.memory_bytes);
  return {{"model", (info.name.empty() ? "" : info.name + ", ") + info.architecture + ", " +
                        plural(static_cast<size_t>(std::max(0, info.layers)), "layer")},
          {"machine", (machine.name.empty() ? "" : machine.name + ", ") +
                          std::string(hw::name(machine.isa)) + ", " +
                          plural(machine.nodes.size(), "NUMA node") + ", " +
                          base::format_bytes(machine.memory_bytes()) + gpus},
          {"rules", plan.rules_file}};
}

// The figures at the page's top.
Json facts_json(const Plan& plan) {
  Json facts = Json::array();
  const auto add = [&](const std::string& name, double value) {
    facts.push_back({name, value > 0 ? base::format_number(value) : "?"});
  };
  add("tokens/s decoding, behind " + std::to_string(plan.predicted_depth), plan.predicted_decode);
  for (const auto& [tokens, rate] : plan.predicted_prefill)
    add("tokens/s of a prompt of " + std::to_string(tokens), rate);
  facts.push_back({"read a token", base::format_bytes(plan.bytes_per_token())});
  return facts;
}

Json settings_json(const Plan& plan) {
  Json out = Json::array();
  for (const auto& [name, value, from] : plan.settings) out.push_back({name, value, from});
  return out;
}

Json devices_json(const Plan& plan) {
  Json out = Json::array();
  for (const auto& memory : plan.devices) {
    Json parts = Json::array();
    for (const auto& [name, bytes] : memory_parts())
      parts.push_back({{"name", name}, {"bytes", memory.*bytes}});
    out.push_back({{"name", memory.device},
                   {"what", is_gpu(memory.device) ? plan.gpu(memory.device).name : "memory"},
                   {"capacity", memory_of(plan, memory.device)},
                   {"most", memory.most()},
                   {"parts", std::move(parts)}});
  }
  return out;
}

Json nodes_json(const Plan& plan) {
  Json out = Json::array();
  const auto bytes = bytes_of_nodes(plan);
  for (size_t n = 0; bytes.size() > 1 && n < bytes.size(); ++n)
    out.push_back({{"name", "node " + std::to_string(plan.machine.nodes[n].id)},
                   {"what", plural(static_cast<size_t>(plan.node_threads[n]), "thread")},
                   {"capacity", plan.machine.nodes[n].memory_bytes},
                   {"most", bytes[n]}});
  return out;
}

// ---- modules ----

// The devices that hold or run a module, and what share of it.
Json homes_json(const PlannedModule& planned, const graph::Module& module) {
  Json homes = Json::array();
  const auto add = [&](const std::string& device, double share, bool prompts, const char* how) {
    homes.push_back({{"device", device}, {"share", share}, {"prompts", prompts}, {"how", how}});
  };
  const auto& residents = planned.residents;
  double resident = 0;
  if (!residents.experts.empty())
    resident = static_cast<double>(residents.experts.size()) /
               static_cast<double>(module.weights.front().count);
  add(planned.device, 1 - resident, false, "runs here");
  if (resident > 0) add(residents.device, resident, false, "experts that stay here");
  if (planned.stream)
    add(planned.prefill_device, (1 - resident) * planned.stream_share, true,
        "experts of prompts pass through here");
  else if (planned.prefill_device != planned.device)
    add(planned.prefill_device, 1, true, "prompts run here");
  return homes;
}

Json better_json(const PlannedModule& planned) {
  Json out = Json::array();
  const auto add = [&](const KernelPick& pick, const char* phase) {
    for (const auto& [name, reason] : pick.skipped)
      if (Json line = std::string(phase) + ": not " + name + ": " + reason;
          std::ranges::find(out, line) == out.end())
        out.push_back(std::move(line));
  };
  add(planned.decode, "decode");
  add(planned.prefill, "prefill");
  return out;
}

Json notes_json(const PlannedModule& planned) {
  Json out = Json::array();
  for (const auto& note : {planned.note, planned.numa_note, planned.decode.slow_path})
    if (!note.empty()) out.push_back(note);
  return out;
}

Json ranges_json(const std::vector<int>& layers) {
  Json out = Json::array();
  for (const auto& [first, last] : ranges_of(layers)) out.push_back({first, last});
  return out;
}

// Microseconds, rounded to tenths.
double microseconds(double seconds) {
  return std::round(1e7 * seconds) / 10;
}

double microseconds_of(const FoldedModule& row, const StepTime& step) {
  double sum = 0;
  for (const size_t module : row.modules)
    sum += step.seconds > 0 ? step.modules[module].seconds : 0;
  return microseconds(sum);
}

Json module_json(const Plan& plan, const FoldedModule& row, const StepTime& decode,
                 const StepTime& prefill) {
  const auto& planned = plan.modules[row.modules.front()];
  const auto& module = plan.module_of(planned);
  const auto rule = std::ranges::find(plan.rules, row.rule_name, &PlannedRule::name);
  return {{"path", row.path},
          {"kind", kind_of(module)},
          {"layers", ranges_json(row.layers)},
          {"op", row.op},
          {"device", row.device},
          {"format", row.format},
          {"numa", row.numa},
          {"bytes", row.bytes},
          {"rule", row.rule_name},
          {"where", row.rule_where},
          {"text", rule == plan.rules.end() ? "" : rule->text},
          {"better", better_json(planned)},
          {"notes", notes_json(planned)},
          {"decode", microseconds_of(row, decode)},
          {"prefill", microseconds_of(row, prefill)},
          {"homes", homes_json(planned, module)}};
}

// ---- the course of a step ----

Json step_json(const Plan& plan, const std::vector<FoldedModule>& folded, const std::string& name,
               const StepTime& step, bool prefill) {
  std::vector<size_t> row_of(plan.modules.size());
  for (size_t row = 0; row < folded.size(); ++row)
    for (const size_t module : folded[row].modules) row_of[module] = row;
  const auto timeline = timeline_of(plan, step, prefill);
  Json spans = Json::array();
  for (const auto& [lane, module, begin, seconds] : timeline.spans)
    spans.push_back({lane, row_of[module], plan.module_of(plan.modules[module]).layer,
                     microseconds(begin), microseconds(seconds)});
  return {{"name", name},
          {"us", microseconds(timeline.seconds)},
          {"lanes", timeline.lanes},
          {"spans", std::move(spans)}};
}

}  // namespace

Json page_data(const Rules& rules, const Plan& plan, const std::vector<std::string>& further) {
  auto lines = further;
  std::ranges::copy(warnings(plan), std::back_inserter(lines));
  Json findings = Json::array(), names = Json::array(), modules = Json::array();
  for (const auto& finding : lint(rules, plan)) findings.push_back(to_string(finding));
  for (const auto& kind : kinds) names.push_back(kind.name);
  const auto decode = decode_step(plan), prefill = prefill_step(plan);
  const auto folded = folded_modules(plan);
  for (const auto& row : folded) modules.push_back(module_json(plan, row, decode, prefill));
  Json steps = Json::array();
  steps.push_back(step_json(plan, folded, "a token", decode, false));
  steps.push_back(step_json(
      plan, folded, "a slice of " + std::to_string(plan.prefill_chunk) + " tokens of a prompt",
      prefill, true));
  return {{"heading", heading_json(plan)},   {"warnings", lines},
          {"findings", std::move(findings)}, {"facts", facts_json(plan)},
          {"settings", settings_json(plan)}, {"layers", plan.model.info.layers},
          {"kinds", std::move(names)},       {"devices", devices_json(plan)},
          {"nodes", nodes_json(plan)},       {"modules", std::move(modules)},
          {"steps", std::move(steps)}};
}

std::string to_html(const Rules& rules, const Plan& plan, const std::vector<std::string>& further) {
  std::string data;
  for (const char c : base::dump_json(page_data(rules, plan, further)))
    if (c == '<')
      data += "\\u003c";  // so that no name can end the script or open a comment
    else
      data += c;
  std::string page(page_template);
  page.replace(page.find(page_data_mark), page_data_mark.size(), data);
  return page;
}

}  // namespace ktx::placement
