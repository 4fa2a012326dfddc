// A rules file for a model on a machine, found by planning what might be good and comparing what
// the plans predict.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "core/graph/graph.hpp"
#include "core/hw/machine.hpp"
#include "placement/planner.hpp"

namespace ktx::placement {

/// What is to be fast.
enum class Goal : uint8_t {
  decode,   // short questions, long answers
  prefill,  // long documents, short answers
  balanced
};

/// "decode", "prefill" or "balanced".
std::optional<Goal> find_goal(std::string_view name);

struct SuggestOptions {
  std::string model;       // as the file is to name it
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
