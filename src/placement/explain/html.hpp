// A plan as one self-contained HTML page.
#pragma once

#include <string>
#include <vector>

#include "core/base/json.hpp"
#include "placement/plan.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// The page of page.html with page_data() in it. Names of models, rules and machines are untrusted:
/// the page's script shows them as text, never as markup.
std::string to_html(const Rules& rules, const Plan& plan,
                    const std::vector<std::string>& further = {});

/// What the page shows:
///   {"heading": {"model", "machine", "rules"}, "warnings": ["..."], "findings": ["..."], "facts":
///   [[name, value]], "settings": [[name, value, from]], "layers", "kinds": ["..."], "devices":
///   [{"name", "what", "capacity", "most", "parts": [{"name", "bytes"}]}], "nodes": the same
///   without parts, "modules": [{"path", "kind", "layers": [[first, last]], "op", "device",
///   "format", "numa", "bytes", "rule", "where", "text", "better": ["..."], "notes": ["..."],
///   "decode", "prefill", "homes": [{"device", "share", "prompts", "how"}]}], "steps": [{"name",
///   "us", "lanes": ["..."], "spans": [[lane, module, layer, begin, length]]}]}
/// modules are folded over layers; decode, prefill: what all of them take of a step; homes: where
/// they lie or run, what share of them, and whether for prompts alone; kind: what they are, for
/// colours. Times are microseconds.
Json page_data(const Rules& rules, const Plan& plan, const std::vector<std::string>& further);

}  // namespace ktx::placement
