// From rules, model and machine to the plan.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "core/graph/graph.hpp"
#include "core/hw/machine.hpp"
#include "placement/plan.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// What is given here stands above the rules file; what neither gives is as keywords.cpp documents.
struct PlanOptions {
  std::optional<int64_t> threads;         // CPU workers
  std::optional<int64_t> decode_threads;  // of them in decode steps
  std::optional<int64_t> cache_length;    // tokens a session can hold
  std::optional<int64_t> prefill_chunk;   // tokens of a prompt run at once at most
  std::optional<int> experts_per_token;   // in every layer
  std::optional<int> max_experts;         // that a request may ask for, at least
  std::optional<int64_t> sessions;        // that can run at once
  std::optional<graph::KvFormat> cache_format;
  std::optional<bool> deterministic;
  std::optional<std::string> model, tokenizer, weights_cache;  // paths
  /// What only the engine knows that a plan whose modules are decided needs of each device:
  /// activations, scratch, rope_tables, streaming and loading, for all workspaces. Of experts that
  /// stay on a GPU until a size is reached one a layer is there. Empty: not counted.
  std::function<std::vector<DeviceMemory>(const Plan&)> run_memory;
};

/// A pure function: reads neither weights nor the hardware. `model` is as its checkpoint's header
/// says; the graph of the plan's copy has routings for max_experts_per_token. Throws input
/// error for rules that can't be carried out, environment when the machine lacks what they need.
Plan make_plan(const Rules& rules, graph::Model model, hw::Machine machine,
               const PlanOptions& options);

}  // namespace ktx::placement
