// A plan as a table for people.
#include "placement/explain.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <map>

#include "core/base/text.hpp"
#include "placement/numa.hpp"
#include "placement/totals.hpp"
#include "placement/values.hpp"
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
std::string formats_text(const graph::Module& module, const std::vector<PlannedWeight>& planned) {
  std::vector<std::pair<std::string, std::vector<std::string>>> groups;
  const bool matrix = std::any_of(module.weights.begin(), module.weights.end(),
                                  [](const graph::Weight& w) { return !w.is_vector(); });
  for (size_t i = 0; i < planned.size(); ++i) {
    if (matrix && module.weights[i].is_vector()) continue;
    std::string text = format_text(planned[i], module.weights[i].transposed);
    const auto found = std::find_if(groups.begin(), groups.end(),
                                    [&](const auto& group) { return group.first == text; });
    if (found == groups.end())
      groups.push_back({std::move(text), {planned[i].role}});
    else
      found->second.push_back(planned[i].role);
  }
  if (groups.empty()) return "-";
  if (groups.size() == 1) return groups.front().first;
  std::vector<std::string> parts;
  for (const auto& [text, roles] : groups) parts.push_back(base::join(roles, ",") + " " + text);
  return base::join(parts, "; ");
}

// Those of both phases where they differ.
std::string formats_text(const graph::Module& module, const PlannedModule& planned) {
  std::string text = formats_text(module, planned.weights);
  if (planned.prefill_weights.empty()) return text;
  const auto prefill = formats_text(module, planned.prefill_weights);
  return prefill == text ? text : text + " / " + prefill;
}

std::string op_text(const graph::Module& module, const PlannedModule& planned) {
  std::string text = module.op + "." + planned.decode.name;
  if (planned.prefill.name != planned.decode.name || planned.stream)
    text += " / " + planned.prefill.name;
  if (planned.stream) text += " + cuda";
  return text;
}

// "cpu", "cpu / cuda:0" for prompts elsewhere, "cpu / cpu + cuda:0" for prompts on both; with
// residents " (16 on cuda:0)" or however many.
std::string device_text(const PlannedModule& planned) {
  std::string text = planned.device;
  if (planned.prefill_device != planned.device)
    text += (planned.stream ? " / " + planned.device + " + " : " / ") + planned.prefill_device;
  const auto& residents = planned.residents;
  if (residents.experts.empty()) return text;
  return text + " (" + std::to_string(residents.experts.size()) + " on " + residents.device + ")";
}

std::string numa_text(const PlannedModule& planned) {
  return has_numa(planned) ? to_string(planned.numa) : "-";
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
    auto& row =
        fold<7>(folded, {folded_path(module), op_text(module, planned), device_text(planned),
                         formats_text(module, planned), numa_text(planned),
                         file_name(planned.rule_where), planned.rule_name});
    if (module.layer >= 0) row.layers.push_back(module.layer);
    row.bytes += planned.bytes;
  }
  group_by_path(folded);
  const bool phases = std::any_of(plan.modules.begin(), plan.modules.end(), [](const auto& m) {
    return m.stream || m.decode.name != m.prefill.name;
  });
  const bool places = std::any_of(plan.modules.begin(), plan.modules.end(),
                                  [](const auto& m) { return m.device != m.prefill_device; });
  std::vector<Row> rows{{"module", "layers", phases ? "op (decode / prefill)" : "op",
                         places ? "device (decode / prefill)" : "device", "format", "numa", "bytes",
                         "rule"}};
  for (const auto& row : folded)
    rows.push_back({row.cells[0], layers_text(row.layers), row.cells[1], row.cells[2], row.cells[3],
                    row.cells[4], row.bytes == 0 ? "-" : base::format_bytes(row.bytes),
                    row.cells[5] + " " + row.cells[6]});
  return "\nmodules\n" + table(rows);
}

std::string warnings_section(const Plan& plan, std::vector<std::string> lines) {
  std::ranges::copy(warnings(plan), std::back_inserter(lines));
  std::string out;
  for (const auto& line : lines) out += "  " + line + "\n";
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

// A figure of every device that uses memory, in a column each; a plan of the CPU alone has one.
struct MemoryRow {
  const char* name;
  uint64_t DeviceMemory::*bytes;
  std::string note;
};

std::vector<MemoryRow> memory_rows(const Plan& plan) {
  const auto sessions = static_cast<size_t>(plan.sessions);
  return {
      {"weights", &DeviceMemory::weights, ""},
      {"KV cache", &DeviceMemory::cache,
       "in " + std::string(graph::info(plan.cache_format).name) + " for " +
           (sessions > 1 ? plural(sessions, "session") + " of " : "") +
           plural(static_cast<size_t>(plan.cache_length), "token")},
      {"activations", &DeviceMemory::activations,
       std::string("for ") + (plan.workspaces() > 1 ? "two " : "") + "steps of " +
           plural(static_cast<size_t>(plan.step_rows()), "token")},
      {"kernels' scratch", &DeviceMemory::scratch, ""},
      {"rope tables", &DeviceMemory::rope_tables, ""},
      {"streamed experts", &DeviceMemory::streaming, ""},
      {"driver", &DeviceMemory::driver,
       plan.streams() ? "with page tables of the CPU's weights" : ""},
      {"loading buffers", &DeviceMemory::loading, "before there is a KV cache"},
  };
}

uint64_t memory_of_device(const Plan& plan, const std::string& device) {
  return is_gpu(device) ? plan.gpu(device).memory_bytes : plan.machine.memory_bytes();
}

std::string memory_section(const Plan& plan) {
  std::vector<Row> rows{{""}};
  for (const auto& memory : plan.devices) rows.front().push_back(memory.device);
  const auto add = [&](const std::string& name, const auto& text, const std::string& note) {
    Row row{name};
    for (const auto& memory : plan.devices) row.push_back(text(memory));
    row.push_back(note);
    rows.push_back(std::move(row));
  };
  for (const auto& [name, bytes, note] : memory_rows(plan))
    if (std::ranges::any_of(plan.devices, [&](const auto& m) { return m.*bytes > 0; }))
      add(
          name, [&](const auto& m) { return m.*bytes == 0 ? "-" : base::format_bytes(m.*bytes); },
          note);
  add(
      "at most", [](const auto& m) { return base::format_bytes(m.most()); }, "");
  add(
      "of", [&](const auto& m) { return base::format_bytes(memory_of_device(plan, m.device)); },
      "");
  return "\nmemory\n" + table(rows);
}

std::string rate_text(double bandwidth) {
  return bandwidth > 0 ? base::format_number(bandwidth / 1e9) + " GB/s" : "an unknown rate";
}

std::string decode_text(const Plan& plan) {
  if (plan.predicted_decode <= 0) return "not predicted: the machine's read bandwidth is not known";
  std::string text = base::format_number(plan.predicted_decode) + " tokens/s behind " +
                     std::to_string(plan.predicted_depth) + ", reading at " +
                     rate_text(plan.machine.read_bandwidth);
  for (const auto& memory : plan.devices)
    if (is_gpu(memory.device))
      text += ", " + memory.device + " at " + rate_text(plan.gpu(memory.device).read_bandwidth);
  return text;
}

std::string prefill_text(const Plan& plan) {
  if (plan.predicted_prefill.empty())
    return "not predicted: needs read_bandwidth and tensor_flops of the machine, and "
           "copy_bandwidth and tensor_flops of its GPUs";
  std::vector<std::string> rates;
  for (const auto& [tokens, rate] : plan.predicted_prefill)
    rates.push_back(base::format_number(rate) + " for " + std::to_string(tokens));
  return base::join(rates) + " tokens/s";
}

std::string streamed_text(const Plan& plan) {
  double least = 1, most = 0;
  for (const auto& planned : plan.modules)
    if (planned.stream) {
      least = std::min(least, planned.stream_share);
      most = std::max(most, planned.stream_share);
    }
  const auto percent = [](double share) { return base::format_number(100 * share); };
  return percent(least) + (percent(least) == percent(most) ? "" : " to " + percent(most)) +
         " % of a layer's experts pass through a GPU in slices of " +
         std::to_string(plan.prefill_chunk);
}

std::string totals_section(const Plan& plan) {
  std::vector<Row> rows;
  add_node_rows(plan, rows);
  for (const auto& use : experts_used(plan))
    rows.push_back({"experts a token", std::to_string(use.per_token) + " of " +
                                           std::to_string(use.experts) + " in layers " +
                                           to_string(ranges_of(use.layers))});
  rows.push_back({"read a token", base::format_bytes(plan.bytes_per_token())});
  rows.push_back({"decode", decode_text(plan)});
  rows.push_back({"prefill", prefill_text(plan)});
  if (plan.streams() && !plan.predicted_prefill.empty())
    rows.push_back({"streamed", streamed_text(plan)});
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

std::string explain(const Plan& plan, const std::vector<std::string>& further) {
  return heading(plan) + warnings_section(plan, further) + settings_section(plan) +
         modules_section(plan) + rules_section(plan) +
         notes_section(plan, "formats that do not apply", &PlannedModule::note) +
         notes_section(plan, "NUMA policies that do not apply", &PlannedModule::numa_note) +
         skipped_section(plan) + unused_section(plan) + memory_section(plan) + totals_section(plan);
}

}  // namespace ktx::placement
