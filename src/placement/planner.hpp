// From rules, model and machine to the plan.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "core/graph/graph.hpp"
#include "core/hw/machine.hpp"
#include "placement/plan.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

struct PlanOptions {
  int threads = 1;              // CPU workers
  int64_t cache_length = 4096;  // tokens a session can hold
  int64_t prefill_chunk = 512;  // tokens run at once at most
  /// Experts a token in every layer, in place of what the rules say.
  std::optional<int> experts_per_token;
  /// What the engine will need for a plan whose modules are decided; empty: not counted.
  std::function<RunMemory(const Plan&)> run_memory;
};

/// A pure function: reads neither weights nor the hardware. `model` is as its checkpoint's header
/// says; experts_per_token of the rules, or of the options, is set in the plan's copy. Throws input
/// error for rules that can't be carried out, environment when the machine lacks what they need.
Plan make_plan(const Rules& rules, graph::Model model, hw::Machine machine,
               const PlanOptions& options);

}  // namespace ktx::placement
