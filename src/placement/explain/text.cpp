// A plan as a table for people.
#include "placement/explain/text.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <set>

#include "core/base/text.hpp"
#include "placement/explain/folded.hpp"
#include "placement/explain/table.hpp"
#include "placement/numa.hpp"
#include "placement/totals.hpp"
#include "placement/values.hpp"

namespace ktx::placement {

namespace {

// The number of modules with the same line. cells: the texts that must be equal.
template <size_t N>
struct Tally {
  std::array<std::string, N> cells;
  size_t count = 0;
};

template <size_t N>
void count_one(std::vector<Tally<N>>& rows, std::array<std::string, N> cells) {
  auto row = std::ranges::find(rows, cells, &Tally<N>::cells);
  if (row == rows.end()) row = rows.insert(rows.end(), {std::move(cells)});
  ++row->count;
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

std::string modules_section(const Plan& plan) {
  const bool phases = std::any_of(plan.modules.begin(), plan.modules.end(), [](const auto& m) {
    return m.stream || m.decode.name != m.prefill.name;
  });
  const bool places = std::any_of(plan.modules.begin(), plan.modules.end(),
                                  [](const auto& m) { return m.device != m.prefill_device; });
  std::vector<Row> rows{{"module", "layers", phases ? "op (decode / prefill)" : "op",
                         places ? "device (decode / prefill)" : "device", "format", "numa", "bytes",
                         "rule"}};
  for (const auto& row : folded_modules(plan))
    rows.push_back({row.path, layers_text(row.layers), row.op, row.device, row.format, row.numa,
                    row.bytes == 0 ? "-" : base::format_bytes(row.bytes),
                    file_name(row.rule_where) + " " + row.rule_name});
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
    rows.push_back({file_name(rule.where), rule.name,
                    rule.modules == 0 ? "none in this model" : plural(rule.modules, "module"),
                    rule.modules == 0 ? "-" : base::format_bytes(rule.bytes), rule.text});
  return "\nrules\n" + table(rows);
}

std::string notes_section(const Plan& plan, const char* title, std::string PlannedModule::*note) {
  std::vector<Tally<1>> folded;
  for (const auto& planned : plan.modules)
    if (!(planned.*note).empty()) count_one<1>(folded, {planned.*note});
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
  std::vector<Tally<3>> folded;
  for (const auto& planned : plan.modules) {
    const auto& op = plan.module_of(planned).op;
    const auto count = [&](const SkippedKernel& row, const char* phase) {
      count_one<3>(folded, {op + "." + row.name, phase, row.reason});
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

// The memory of each NUMA node, if there are several.
void add_node_rows(const Plan& plan, std::vector<Row>& rows) {
  const auto bytes = bytes_of_nodes(plan);
  for (size_t n = 0; bytes.size() > 1 && n < bytes.size(); ++n) {
    const auto& node = plan.machine.nodes[n];
    rows.push_back({"NUMA node " + std::to_string(node.id),
                    base::format_bytes(bytes[n]) + " of " + base::format_bytes(node.memory_bytes) +
                        ", " + plural(static_cast<size_t>(plan.node_threads[n]), "thread")});
  }
}

// A note on what a part of a device's memory is for.
std::string note_of(const Plan& plan, uint64_t DeviceMemory::*part) {
  const auto sessions = static_cast<size_t>(plan.sessions);
  if (part == &DeviceMemory::cache)
    return "in " + std::string(graph::info(plan.cache_format).name) + " for " +
           (sessions > 1 ? plural(sessions, "session") + " of " : "") +
           plural(static_cast<size_t>(plan.cache_length), "token");
  if (part == &DeviceMemory::activations)
    return "for a slice of " + plural(static_cast<size_t>(plan.prefill_chunk), "token") +
           " and a decode step of " + std::to_string(plan.decode_rows());
  if (part == &DeviceMemory::driver && plan.streams())
    return "with page tables of the CPU's weights";
  return part == &DeviceMemory::loading ? "before there is a KV cache" : "";
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
  for (const auto& [name, bytes] : memory_parts()) {
    const auto of = [bytes = bytes](const auto& memory) { return memory.*bytes; };
    if (std::ranges::any_of(plan.devices, [&](const auto& m) { return of(m) > 0; }))
      add(
          name, [&](const auto& m) { return of(m) == 0 ? "-" : base::format_bytes(of(m)); },
          note_of(plan, bytes));
  }
  add(
      "at most", [](const auto& m) { return base::format_bytes(m.most()); }, "");
  add(
      "of", [&](const auto& m) { return base::format_bytes(memory_of(plan, m.device)); }, "");
  return "\nmemory\n" + table(rows);
}

std::string rate_text(double bandwidth) {
  return bandwidth > 0 ? base::format_number(bandwidth / 1e9) + " GB/s" : "an unknown rate";
}

std::string decode_text(const Plan& plan) {
  if (plan.predicted_decode <= 0)
    return "not predicted: the machine's read bandwidth is not known; ktx-plan --detect measures "
           "it";
  std::string text = base::format_number(plan.predicted_decode) + " tokens/s behind " +
                     std::to_string(plan.predicted_depth) + ", reading at " +
                     rate_text(plan.machine.read_bandwidth);
  std::set<std::string> rates;
  std::string of_each;
  size_t gpus = 0;
  for (const auto& memory : plan.devices) {
    if (!is_gpu(memory.device)) continue;
    const auto rate = rate_text(plan.gpu(memory.device).read_bandwidth);
    rates.insert(rate);
    of_each += ", " + memory.device + " at " + rate;
    ++gpus;
  }
  return text + (gpus > 1 && rates.size() == 1 ? ", each GPU at " + *rates.begin() : of_each);
}

std::string prefill_text(const Plan& plan) {
  if (plan.predicted_prefill.empty())
    return std::string("not predicted: needs read_bandwidth and tensor_flops of the machine") +
           (plan.machine.gpus.empty() ? "" : ", and copy_bandwidth and tensor_flops of its GPUs") +
           "; ktx-plan --detect measures them";
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
         " % of a layer's experts on the cpu pass through a GPU in slices of " +
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
  std::vector<Tally<3>> folded;
  for (const auto& planned : plan.modules) {
    const auto& module = plan.module_of(planned);
    const auto count = [&](const char* phase, const KernelPick& pick) {
      if (!pick.slow_path.empty())
        count_one<3>(folded, {module.op + "." + pick.name, phase, pick.slow_path});
    };
    const bool alike = planned.decode.slow_path == planned.prefill.slow_path;
    count(alike ? "" : ", decode", planned.decode);
    if (!alike) count(", prefill", planned.prefill);
  }
  std::vector<std::string> lines;
  for (const auto& row : folded)
    lines.push_back("SLOW: " + row.cells[0] + " (" + plural(row.count, "module") + row.cells[1] +
                    "): " + row.cells[2]);
  const int64_t trained = plan.model.info.context;
  if (trained > 0 && plan.cache_length > trained)
    lines.push_back("a context of " + std::to_string(plan.cache_length) +
                    " tokens, but the model was trained for " + std::to_string(trained));
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
