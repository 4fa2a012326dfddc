// How one module came to its place.
#include "placement/explain/why.hpp"

#include <algorithm>
#include <map>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "ops/kernels.hpp"
#include "placement/apply.hpp"
#include "placement/explain/asked.hpp"
#include "placement/explain/folded.hpp"
#include "placement/explain/table.hpp"
#include "placement/match.hpp"
#include "placement/prediction.hpp"
#include "placement/totals.hpp"
#include "placement/values.hpp"
#include "placement/weights.hpp"

namespace ktx::placement {

namespace {

constexpr size_t most_listed = 8;

[[noreturn]] void throw_no_module(const graph::Model& model, const std::string& path) {
  std::vector<std::string> paths, below;
  for (const auto& module : model.modules) {
    paths.push_back(module.path);
    if (module.path.starts_with(path + ".")) below.push_back(module.path);
  }
  std::vector<std::string> notes;
  if (!below.empty()) {
    const size_t more = below.size() - std::min(below.size(), most_listed);
    below.resize(below.size() - more);
    notes.push_back("modules below it: " + base::join(below) +
                    (more > 0 ? " and " + std::to_string(more) + " more" : ""));
  } else if (const auto near = base::nearest(path, paths); !near.empty()) {
    notes.push_back("did you mean '" + base::join(near, "' or '") + "'?");
  }
  notes.emplace_back("a module's full path is needed, as the plan prints it, with its layer for *");
  throw_input("the model has no module '" + base::shortened(path, 200) + "'", "--why", notes);
}

const graph::Module& find_module(const graph::Model& model, const std::string& path) {
  const auto found = std::ranges::find(model.modules, path, &graph::Module::path);
  if (found == model.modules.end()) throw_no_module(model, path);
  return *found;
}

std::string heading(const graph::Module& module) {
  std::string out = module.path + "\n";
  out += "  class " + (module.classes.empty() ? "none" : module.classes.front());
  for (size_t i = 1; i < module.classes.size(); ++i)
    out += (i == 1 ? ", in " : ", ") + module.classes[i];
  if (module.layer >= 0) out += "; layer " + std::to_string(module.layer);
  return out + (module.op.empty() ? "" : "; op " + module.op) + "\n";
}

// ---- rules ----

std::string rules_section(const Rules& rules, const graph::Module& module) {
  std::vector<Row> rows;
  bool decided = false;
  for (const auto& rule : rules.rules) {
    const auto against = mismatch(rule.match, module);
    std::string verdict = decided           ? "not tried: an earlier rule matched"
                          : against.empty() ? "MATCHES, and decides"
                                            : "no: " + base::join(against, "; ");
    decided |= against.empty();
    rows.push_back({file_and_line(file_name(rule.where)), rule.name, std::move(verdict)});
  }
  return "\nrules, in file order\n" + table(rows);
}

void add_given(const char* phase, const std::optional<Place>& place, std::vector<Row>& rows) {
  if (!place) return;
  for (const auto& key : place_keys())
    if (const auto where = key.where(*place); !where.empty())
      rows.push_back({phase + std::string(key.name), key.value(*place), file_name(where)});
}

std::string place_section(const Rule& rule, const PlannedModule& planned,
                          const graph::Module& module) {
  std::vector<Row> rows;
  add_given("", rule.place, rows);
  add_given("decode: ", rule.decode, rows);
  add_given("prefill: ", rule.prefill, rows);
  for (const auto& key : place_keys()) {
    const bool of_experts = key.name == "stream" || key.name == "experts";
    if (!key.where(rule.place).empty() || (of_experts && module.op != "moe")) continue;
    if (key.name == "stream" && planned.stream) continue;
    if (key.name == "numa" && has_numa(planned))
      rows.push_back({"numa", to_string(planned.numa), "default"});
    else if (!key.otherwise.empty())
      rows.push_back({std::string(key.name), std::string(key.otherwise), "default"});
  }
  std::string out = "\nplace\n" + table(rows);
  for (const auto* note : {&planned.note, &planned.numa_note})
    if (!note->empty()) out += "  " + *note + "\n";
  return out;
}

// ---- kernels ----

// The rows of the kernel table before the one taken, and why each was not.
void add_better(const KernelPick& pick, graph::Op op, const std::string& device, bool decode,
                std::vector<Row>& rows) {
  for (const auto& row : ops::kernels(op)) {
    if (row.name == pick.name) return;
    if (row.device != device_kind(device)) continue;
    const auto skipped = std::ranges::find(pick.skipped, row.name, &SkippedKernel::name);
    const std::string reason = skipped != pick.skipped.end() ? skipped->reason
                               : decode && row.for_prefill
                                   ? "is for prompts alone"
                                   : "not tried: the rule names " + pick.name;
    rows.push_back({"", "not " + std::string(row.name), reason});
  }
}

std::string kernels_section(const PlannedModule& planned, const graph::Module& module) {
  const auto op = op_of(module);
  std::vector<Row> rows;
  rows.push_back({"decode", module.op + "." + planned.decode.name, "on " + planned.device});
  add_better(planned.decode, op, planned.device, true, rows);
  const auto& device = planned.stream ? planned.device : planned.prefill_device;
  rows.push_back({"prefill", module.op + "." + planned.prefill.name, "on " + device});
  add_better(planned.prefill, op, device, false, rows);
  if (planned.stream) {
    std::string share = "on " + planned.prefill_device + ", for experts that pass through it";
    if (planned.stream_share > 0)
      share += ": " + base::format_number(100 * planned.stream_share) + " % of those on the cpu";
    rows.push_back({"", module.op + ".cuda", std::move(share)});
  }
  if (const auto& residents = planned.residents; !residents.experts.empty())
    rows.push_back({"both", module.op + ".cuda",
                    "on " + residents.device + ", for its " +
                        plural(residents.experts.size(), "resident expert")});
  if (planned.deferred > 0)
    rows.push_back({"", "",
                    "of a decoded token's experts the " + std::to_string(planned.deferred) +
                        " of least weight run beside the next layer"});
  std::string out = "\nkernels\n" + table(rows);
  for (const auto* pick : {&planned.decode, &planned.prefill})
    if (!pick->slow_path.empty()) out += "  SLOW: " + pick->slow_path + "\n";
  return out;
}

// ---- weights and memory ----

// The format that the rule gives for a phase; nothing: keep.
std::optional<quant::Format> asked_format(const Rule& rule, const std::optional<Place>& phase) {
  const auto& given = phase && phase->format ? phase->format : rule.place.format;
  return given ? given->value : std::nullopt;
}

void add_weights(const graph::Module& module, std::optional<quant::Format> asked,
                 const std::vector<PlannedWeight>& weights, const std::string& device,
                 std::vector<Row>& rows) {
  const auto op = op_of(module);
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto& planned = weights[i];
    const auto& weight = module.weights[i];
    const std::string from = always_f32(op, weight) && planned.format == quant::Format::f32
                                 ? "always f32"
                             : planned.format == asked          ? "as the rule says"
                             : planned.format == planned.source ? "as in the checkpoint"
                                                                : "as " + device + " needs it";
    rows.push_back({planned.role,
                    (weight.count > 1 ? std::to_string(weight.count) + " x " : "") + "[" +
                        std::to_string(weight.rows) + ", " + std::to_string(weight.cols) + "]",
                    format_text(planned, weight.transposed), from,
                    base::format_bytes(planned.bytes) + " on " + device});
  }
}

std::string weights_section(const Rule& rule, const PlannedModule& planned,
                            const graph::Module& module) {
  std::vector<Row> rows;
  add_weights(module, asked_format(rule, rule.decode), planned.weights, planned.device, rows);
  add_weights(module, asked_format(rule, rule.prefill), planned.prefill_weights,
              planned.prefill_device, rows);
  return rows.empty() ? "" : "\nweights\n" + table(rows);
}

std::string place_of(const Plan& plan, const WeightPart& part, const std::string& device) {
  if (part.node == WeightPart::no_node || plan.machine.nodes.size() < 2) return device;
  if (part.node == WeightPart::every_node) return device + ", dealt out to all NUMA nodes";
  return device + ", NUMA node " +
         std::to_string(plan.machine.nodes[static_cast<size_t>(part.node)].id);
}

std::string memory_section(const Plan& plan, const PlannedModule& planned) {
  std::map<std::string, uint64_t> bytes;  // by place
  const auto add = [&](const std::vector<PlannedWeight>& weights, const std::string& device) {
    for (const auto& weight : weights)
      for (const auto& part : weight.parts) bytes[place_of(plan, part, device)] += part.bytes;
  };
  add(planned.weights, planned.device);
  add(planned.prefill_weights, planned.prefill_device);
  const auto& residents = planned.residents;
  if (!residents.experts.empty())
    bytes[residents.device + ", " + plural(residents.experts.size(), "resident expert")] +=
        residents.bytes;
  std::vector<Row> rows;
  for (const auto& [place, sum] : bytes) rows.push_back({place, base::format_bytes(sum)});
  if (rows.size() > 1) rows.push_back({"together", base::format_bytes(planned.bytes)});
  return rows.empty() ? "" : "\nmemory\n" + table(rows);
}

// ---- prediction ----

std::string time_text(const ModuleTime& time, const StepTime& step, const std::string& gpu,
                      const std::string& of) {
  std::string text = duration_text(time.seconds) + " of " + duration_text(step.seconds) + ", " +
                     base::format_number(100 * time.seconds / step.seconds) + " % of " + of;
  if (time.cpu > 0) text += "; the cpu works " + duration_text(time.cpu);
  if (time.gpu > 0) text += "; " + gpu + " works " + duration_text(time.gpu);
  if (time.copied > 0) text += "; copying to " + gpu + " takes " + duration_text(time.copied);
  return text;
}

std::string prediction_section(const Plan& plan, const PlannedModule& planned) {
  const auto index = static_cast<size_t>(&planned - plan.modules.data());
  const auto text = [&](const StepTime& step, bool prefill, const std::string& of) -> std::string {
    if (step.seconds <= 0) return "not known: the machine's speeds are not";
    return time_text(step.modules[index], step, gpu_of(planned, prefill), of);
  };
  std::vector<Row> rows;
  rows.push_back({"read a token", base::format_bytes(planned.bytes_per_token)});
  rows.push_back({"decode", text(decode_step(plan), false,
                                 "a token behind " + std::to_string(plan.predicted_depth))});
  rows.push_back({"prefill", text(prefill_step(plan), true,
                                  "a slice of " + std::to_string(plan.prefill_chunk) + " tokens")});
  return "\npredicted\n" + table(rows);
}

}  // namespace

std::string why(const Rules& rules, const Plan& plan, const std::string& path) {
  const auto& module = find_module(plan.model, path);
  const auto* planned = plan.find(static_cast<int>(&module - plan.model.modules.data()));
  if (planned == nullptr) return heading(module) + "  not run: " + module.unused + "\n";
  const auto& rule = deciding_rule(rules, *planned);
  return heading(module) + rules_section(rules, module) + place_section(rule, *planned, module) +
         kernels_section(*planned, module) + weights_section(rule, *planned, module) +
         memory_section(plan, *planned) + prediction_section(plan, *planned);
}

}  // namespace ktx::placement
