// A placement that suggestions are chosen from, and the rules file that says it.
#pragma once

#include <cstdint>
#include <string>

#include "core/hw/machine.hpp"
#include "placement/suggest.hpp"

namespace ktx::placement {

/// Where the routed experts are.
enum class Experts : uint8_t {
  cpu,                // and everything else too
  hybrid,             // on the CPU, the rest on the GPUs
  streamed,           // so, but prompts share them with the GPUs
  resident,           // some stay on the GPUs
  resident_streamed,  // and prompts share the others with the GPUs
  gpu                 // all on the GPUs
};

/// Of the smallest GPU's memory, but for what other programs may take.
uint64_t room_on_gpu(const hw::Machine& machine);

bool keeps_residents(Experts experts) noexcept;
bool streams(Experts experts) noexcept;

struct Candidate {
  Experts experts = Experts::cpu;
  std::string format = "keep";  // of the experts
  std::string dense = "keep";   // of all other linear layers
  std::string numa;             // policy of what is on the CPU; empty: one node
  size_t gpus = 0;              // that it uses, the first ones
  int64_t chunk = 2048;         // tokens of a slice of a prompt
};

/// The rules file. has_experts: the model is no dense one.
std::string rules_text(const Candidate& candidate, const hw::Machine& machine,
                       const SuggestOptions& options, bool has_experts);

}  // namespace ktx::placement
