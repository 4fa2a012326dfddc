// A plan as a table for people.
#include "placement/explain.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <map>

#include "core/base/text.hpp"
#include "placement/numa.hpp"
#include "placement/totals.hpp"
#include "placement/weights.hpp"

namespace ktx::placement {

namespace {

constexpr size_t longest_layers = 20;  // columns

// Equal rows of several layers, folded. cells: the texts that must be equal.
template <size_t N>
struct Folded {
  std::array<std::string, N> cells;
  std::vector<int> layers;
  size_t count = 0;
  uint64_t bytes = 0;
};

template <size_t N>
Folded<N>& fold(std::vector<Folded<N>>& rows, std::array<std::string, N> cells) {
  for (auto& row : rows)
    if (row.cells == cells) return row;
  rows.push_back({std::move(cells)});
  return rows.back();
}

std::string plural(size_t count, const char* noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string layers_text(const std::vector<int>& layers) {
  const auto ranges = ranges_of(layers);
  std::string text = to_string(ranges);
  if (text.size() <= longest_layers) return text;
  std::vector<LayerRange> shown;
  for (const auto& range : ranges) {
    shown.push_back(range);
    if (to_string(shown).size() > longest_layers - 8) break;
  }
  if (shown.size() > 1) shown.pop_back();  // one range is shown, however long
  return to_string(shown) + ",.. (" + std::to_string(layers.size()) + ")";
}

// The module's path with `*` for its layer's number.
std::string folded_path(const graph::Module& module) {
  const std::string number = "." + std::to_string(module.layer) + ".";
  const size_t at = module.path.find(number);
  if (module.layer < 0 || at == std::string::npos) return module.path;
  return module.path.substr(0, at) + ".*." + module.path.substr(at + number.size());
}

// "q4_k", or "gate,up q4_k; down q6_k". Vectors only where there is nothing else.
std::string formats_text(const graph::Module& module, const PlannedModule& planned) {
  std::vector<std::pair<std::string, std::vector<std::string>>> groups;
  const bool matrix = std::any_of(module.weights.begin(), module.weights.end(),
                                  [](const graph::Weight& w) { return !w.is_vector(); });
  for (size_t i = 0; i < planned.weights.size(); ++i) {
    if (matrix && module.weights[i].is_vector()) continue;
    std::string text = format_text(planned.weights[i], module.weights[i].transposed);
    const auto found = std::find_if(groups.begin(), groups.end(),
                                    [&](const auto& group) { return group.first == text; });
    if (found == groups.end())
      groups.push_back({std::move(text), {planned.weights[i].role}});
    else
      found->second.push_back(planned.weights[i].role);
  }
  if (groups.empty()) return "-";
  if (groups.size() == 1) return groups.front().first;
  std::vector<std::string> parts;
  for (const auto& [text, roles] : groups) parts.push_back(base::join(roles, ",") + " " + text);
  return base::join(parts, "; ");
}

std::string op_text(const graph::Module& module, const PlannedModule& planned) {
  std::string text = module.op + "." + planned.decode.name;
  if (planned.prefill.name != planned.decode.name) text += " / " + planned.prefill.name;
  return text;
}

std::string file_name(const std::string& where) {
  return std::filesystem::path(where).filename().string();
}

using Row = std::vector<std::string>;

// Left-aligned columns two spaces apart, each line indented by two.
std::string table(const std::vector<Row>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line = " ";
    for (size_t i = 0; i < row.size(); ++i) {
      line += " " + row[i];
      line.append(widths[i] + 1 - row[i].size(), ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string heading(const Plan& plan) {
  const auto& info = plan.model.info;
  const auto& machine = plan.machine;
  std::string out = "model    " + (info.name.empty() ? "" : info.name + ", ") + info.architecture +
                    ", " + plural(static_cast<size_t>(std::max(0, info.layers)), "layer") + "\n";
  out += "machine  " + (machine.name.empty() ? "" : machine.name + ", ") +
         std::string(hw::name(machine.isa)) + ", " + plural(machine.nodes.size(), "NUMA node") +
         ", " + plural(static_cast<size_t>(std::max(0, machine.core_count())), "core") + ", " +
         base::format_bytes(machine.memory_bytes());
  for (const auto& gpu : machine.gpus)
    out += ", " + gpu.name + " " + base::format_bytes(gpu.memory_bytes);
  return out + "\nrules    " + plan.rules_file + "\n";
}

// Rows of one path together, in the order of the first of them.
void group_by_path(std::vector<Folded<7>>& rows) {
  std::map<std::string, size_t> first;
  for (const auto& row : rows) first.emplace(row.cells[0], first.size());
  std::stable_sort(rows.begin(), rows.end(), [&](const auto& a, const auto& b) {
    return first.at(a.cells[0]) < first.at(b.cells[0]);
  });
}

std::string modules_section(const Plan& plan) {
  std::vector<Folded<7>> folded;
  for (const auto& planned : plan.modules) {
    const auto& module = plan.model.modules[static_cast<size_t>(planned.module)];
    auto& row = fold<7>(folded, {folded_path(module), op_text(module, planned), planned.device,
                                 formats_text(module, planned), to_string(planned.numa),
                                 file_name(planned.rule_where), planned.rule_name});
    if (module.layer >= 0) row.layers.push_back(module.layer);
    row.bytes += planned.bytes;
  }
  group_by_path(folded);
  const bool phases = std::any_of(plan.modules.begin(), plan.modules.end(),
                                  [](const auto& m) { return m.decode.name != m.prefill.name; });
  std::vector<Row> rows{{"module", "layers", phases ? "op (decode / prefill)" : "op", "device",
                         "format", "numa", "bytes", "rule"}};
  for (const auto& row : folded)
    rows.push_back({row.cells[0], layers_text(row.layers), row.cells[1], row.cells[2], row.cells[3],
                    row.cells[4], row.bytes == 0 ? "-" : base::format_bytes(row.bytes),
                    row.cells[5] + " " + row.cells[6]});
  return "\nmodules\n" + table(rows);
}

std::string warnings_section(const Plan& plan) {
  std::string out;
  for (const auto& warning : warnings(plan)) out += "  " + warning + "\n";
  return out.empty() ? out : "\nWARNINGS\n" + out;
}

std::string settings_section(const Plan& plan) {
  std::vector<Row> rows;
  for (const auto& setting : plan.settings)
    rows.push_back({setting.name, setting.value, file_name(setting.from)});
  return "\nsettings\n" + table(rows);
}

std::string rules_section(const Plan& plan) {
  std::vector<Row> rows;
  for (const auto& rule : plan.rules)
    rows.push_back({file_name(rule.where), rule.name, plural(rule.modules, "module"),
                    base::format_bytes(rule.bytes), rule.text});
  return "\nrules\n" + table(rows);
}

std::string notes_section(const Plan& plan, const char* title, std::string PlannedModule::*note) {
  std::vector<Folded<1>> folded;
  for (const auto& planned : plan.modules)
    if (!(planned.*note).empty()) ++fold<1>(folded, {planned.*note}).count;
  if (folded.empty()) return "";
  std::vector<Row> rows;
  for (const auto& row : folded) rows.push_back({row.cells[0], plural(row.count, "module")});
  return std::string("\n") + title + "\n" + table(rows);
}

bool skips(const KernelPick& pick, const SkippedKernel& row) {
  return std::ranges::any_of(pick.skipped, [&](const auto& other) {
    return other.name == row.name && other.reason == row.reason;
  });
}

std::string skipped_section(const Plan& plan) {
  std::vector<Folded<3>> folded;
  for (const auto& planned : plan.modules) {
    const auto& op = plan.model.modules[static_cast<size_t>(planned.module)].op;
    const auto count = [&](const SkippedKernel& row, const char* phase) {
      ++fold<3>(folded, {op + "." + row.name, phase, row.reason}).count;
    };
    for (const auto& row : planned.decode.skipped)
      count(row, skips(planned.prefill, row) ? "" : "decode");
    for (const auto& row : planned.prefill.skipped)
      if (!skips(planned.decode, row)) count(row, "prefill");
  }
  if (folded.empty()) return "";
  std::vector<Row> rows;
  for (const auto& row : folded)
    rows.push_back({row.cells[0], plural(row.count, "module"),
                    (row.cells[1].empty() ? "" : row.cells[1] + ": ") + row.cells[2]});
  return "\nbetter kernels not taken\n" + table(rows);
}

std::string unused_section(const Plan& plan) {
  std::vector<Row> rows;
  for (const auto& module : plan.model.modules)
    if (!module.unused.empty()) rows.push_back({module.path, module.unused});
  return rows.empty() ? "" : "\nnot run\n" + table(rows);
}

std::string number_text(double value) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.*f", value < 9.95 ? 2 : value < 99.5 ? 1 : 0, value);
  return text.data();
}

// What each node of several holds.
void add_node_rows(const Plan& plan, std::vector<Row>& rows) {
  const auto bytes = bytes_of_nodes(plan);
  for (size_t n = 0; bytes.size() > 1 && n < bytes.size(); ++n) {
    const auto& node = plan.machine.nodes[n];
    rows.push_back({"NUMA node " + std::to_string(node.id),
                    base::format_bytes(bytes[n]) + " of " + base::format_bytes(node.memory_bytes) +
                        ", " + plural(static_cast<size_t>(plan.node_threads[n]), "thread")});
  }
}

std::string totals_section(const Plan& plan) {
  const auto sums = totals(plan);
  std::vector<Row> rows;
  for (const auto& [device, bytes] : sums.devices)
    rows.push_back({"weights on " + device, base::format_bytes(bytes)});
  const auto sessions = static_cast<size_t>(plan.sessions);
  rows.push_back({"KV cache", base::format_bytes(plan.cache_bytes) + " in " +
                                  std::string(graph::info(plan.cache_format).name) + " for " +
                                  (sessions > 1 ? plural(sessions, "session") + " of " : "") +
                                  plural(static_cast<size_t>(plan.cache_length), "token")});
  rows.push_back({"activations", base::format_bytes(plan.activation_bytes) + " for " +
                                     (plan.workspaces() > 1 ? "two " : "") + "steps of " +
                                     plural(static_cast<size_t>(plan.step_rows()), "token")});
  if (plan.run_memory.scratch > 0)
    rows.push_back({"kernels' scratch", base::format_bytes(plan.run_memory.scratch)});
  if (plan.run_memory.rope_tables > 0)
    rows.push_back({"rope tables", base::format_bytes(plan.run_memory.rope_tables)});
  if (plan.run_memory.loading > 0)
    rows.push_back({"loading buffers",
                    base::format_bytes(plan.run_memory.loading) + " before there is a KV cache"});
  rows.push_back({"memory", base::format_bytes(sums.memory) + " of " +
                                base::format_bytes(plan.machine.memory_bytes())});
  add_node_rows(plan, rows);
  for (const auto& use : sums.experts)
    rows.push_back({"experts a token", std::to_string(use.per_token) + " of " +
                                           std::to_string(use.experts) + " in layers " +
                                           to_string(ranges_of(use.layers))});
  rows.push_back({"read a token", base::format_bytes(plan.bytes_per_token())});
  rows.push_back({"decode", plan.predicted_decode > 0
                                ? number_text(plan.predicted_decode) +
                                      " tokens/s if bound by reading at " +
                                      number_text(plan.machine.read_bandwidth / 1e9) + " GB/s"
                                : "not predicted: the machine's read bandwidth is not known"});
  return "\ntotals, " + plural(static_cast<size_t>(plan.threads), "thread") + "\n" + table(rows);
}

}  // namespace

std::vector<std::string> warnings(const Plan& plan) {
  std::vector<Folded<3>> folded;
  for (const auto& planned : plan.modules) {
    const auto& module = plan.model.modules[static_cast<size_t>(planned.module)];
    const auto count = [&](const char* phase, const KernelPick& pick) {
      if (!pick.slow_path.empty())
        ++fold<3>(folded, {module.op + "." + pick.name, phase, pick.slow_path}).count;
    };
    const bool alike = planned.decode.slow_path == planned.prefill.slow_path;
    count(alike ? "" : ", decode", planned.decode);
    if (!alike) count(", prefill", planned.prefill);
  }
  std::vector<std::string> lines;
  for (const auto& row : folded)
    lines.push_back("SLOW: " + row.cells[0] + " (" + plural(row.count, "module") + row.cells[1] +
                    "): " + row.cells[2]);
  return lines;
}

std::string explain(const Plan& plan) {
  return heading(plan) + warnings_section(plan) + settings_section(plan) + modules_section(plan) +
         rules_section(plan) +
         notes_section(plan, "formats that do not apply", &PlannedModule::note) +
         notes_section(plan, "NUMA policies that do not apply", &PlannedModule::numa_note) +
         skipped_section(plan) + unused_section(plan) + totals_section(plan);
}

}  // namespace ktx::placement
