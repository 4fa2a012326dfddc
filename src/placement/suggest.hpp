// Suggests a rules file for a model on a machine: plans promising placements and compares their
// predictions.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "core/graph/graph.hpp"
#include "core/hw/machine.hpp"
#include "placement/planner.hpp"

namespace ktx::placement {

/// What to optimize for.
enum class Goal : uint8_t {
  decode,   // short questions, long answers
  prefill,  // long documents, short answers
  balanced
};

/// "decode", "prefill" or "balanced".
std::optional<Goal> find_goal(std::string_view name);

struct SuggestOptions {
  std::string model;       // the name to write into the rules file
  int64_t context = 8192;  // tokens a session can hold; no more than the model was trained for
  int64_t sessions = 1;    // at once
  Goal goal = Goal::balanced;
  std::optional<uint64_t> vram;  // bytes of each GPU to use at most
  decltype(PlanOptions::run_memory) run_memory;
};

/// The text of the rules file whose plan takes least time for what the goal stands for, among those
/// that fit the machine, with comments that say why and what would make it faster. Throws
/// environment error when none fits, with what the smallest one needs; input error when the
/// machine's figures do not suffice to compare.
std::string suggest_rules(const graph::Model& model, const hw::Machine& machine,
                          const SuggestOptions& options);

}  // namespace ktx::placement
