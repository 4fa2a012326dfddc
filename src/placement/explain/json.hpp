// A plan as JSON, for programs.
#pragma once

#include <string>
#include <vector>

#include "core/base/json.hpp"
#include "placement/plan.hpp"

namespace ktx::placement {

/// The tree that explain() prints, one entry a module:
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
