// Makes a plan from rules, model and machine.
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

/// Options given here override the rules file; the defaults are documented in keywords.cpp.
struct PlanOptions {
  std::optional<int64_t> threads;         // CPU threads
  std::optional<int64_t> decode_threads;  // CPU threads of decode steps
  std::optional<int64_t> cache_length;    // tokens that a session can hold
  std::optional<int64_t> prefill_chunk;   // the most tokens of a prompt that run at once
  std::optional<int> experts_per_token;   // in every layer
  std::optional<int> max_experts;         // requests may ask for at least this many
  std::optional<int64_t> sessions;        // that can run at once
  std::optional<graph::KvFormat> cache_format;
  std::optional<bool> deterministic;
  std::optional<std::string> model, tokenizer, weights_cache;  // paths
  /// The memory that only the engine knows a plan needs on each device: activations, scratch,
  /// rope_tables, streaming and loading, for all workspaces. Called once all modules are placed;
  /// where experts stay on a GPU up to a size, with one per layer. Empty: not counted.
  std::function<std::vector<DeviceMemory>(const Plan&)> run_memory;
};

/// A pure function that reads neither weights nor hardware. model: as described by its checkpoint's
/// header; in the plan's copy, the graph's routings have max_experts_per_token columns. Throws
/// input error for rules that can't be carried out, environment error when the machine lacks what
/// they need.
Plan make_plan(const Rules& rules, graph::Model model, hw::Machine machine,
               const PlanOptions& options);

}  // namespace ktx::placement
