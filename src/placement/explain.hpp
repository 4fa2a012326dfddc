// EXPLAIN: a plan as a table for people and as JSON for programs.
#pragma once

#include <string>
#include <vector>

#include "core/base/json.hpp"
#include "placement/plan.hpp"

namespace ktx::placement {

/// What whoever runs the plan should know first, one line each: "SLOW: ..." for kernels that run
/// far below the speed of their ISA.
std::vector<std::string> warnings(const Plan& plan);

/// `further` warnings and the plan's, settings, modules with equal places folded over their layers,
/// the rules, better kernels that were not taken and why, modules not run, and totals. Lines end
/// with '\n'.
std::string explain(const Plan& plan, const std::vector<std::string>& further = {});

/// The same tree, one entry a module:
///   {"ktx", "rules_file", "machine", "model", "warnings": ["..."], "settings": [{"name", "value",
///   "from"}], "modules":
///   [{"path", "classes", "layer", "op", "device", "prefill_device", "stream", "stream_share",
///    "residents": null or {"device", "experts", "keep_ram", "bytes"},
///    "decode": {"kernel", "skipped": [{"kernel", "reason"}]}, "prefill", "numa", "weights":
///    [{"role", "count", "rows", "cols", "source", "format", "bytes"}], "prefill_weights", "note",
///    "numa_note", "bytes", "bytes_per_token", "rule": {"name", "where"}}], "rules", "unused":
///    [{"path", "reason"}], "totals"}
/// numa: the policy that a module's matrices follow on the CPU, null on GPUs; totals.devices: the
/// memory of each device; totals.nodes: what each NUMA node holds. Sizes are bytes; bandwidths
/// bytes/s; unknown ones null.
Json to_json(const Plan& plan, const std::vector<std::string>& further = {});

}  // namespace ktx::placement
