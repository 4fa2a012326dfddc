// A placement that `suggest` considers, and its rules file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/graph/graph.hpp"
#include "core/hw/machine.hpp"
#include "placement/suggest.hpp"

namespace ktx::placement {

/// Where the routed experts are.
enum class Experts : uint8_t {
  cpu,                // on the CPU, and everything else too
  hybrid,             // on the CPU, the rest on GPUs
  streamed,           // hybrid, and for prompts streamed through GPUs
  resident,           // hybrid, with some experts resident on GPUs
  resident_streamed,  // resident, and for prompts the others streamed through GPUs
  gpu                 // everything on GPUs
};

bool keeps_residents(Experts experts) noexcept;
bool streams(Experts experts) noexcept;

struct Candidate {
  Experts experts = Experts::cpu;
  std::string format = "keep";  // of the experts
  std::string dense = "keep";   // of all other linear layers
  std::string numa;             // policy of modules on the CPU; empty: the machine has one node
  std::vector<size_t> gpus;     // numbers of the GPUs used, ascending
  int64_t chunk = 2048;         // tokens of a slice of a prompt
};

/// The routed experts of a layer; null: the model has none.
const graph::Module* routed_experts(const graph::Model& model);

/// Why the embedding can't be on a GPU; empty: it can.
std::string embedding_refusal(const graph::Model& model);

/// The usable memory of the smallest of these GPUs, less a reserve for other programs.
uint64_t room_on_gpus(const std::vector<size_t>& gpus, const hw::Machine& machine);

/// The rules file.
std::string rules_text(const Candidate& candidate, const graph::Model& model,
                       const hw::Machine& machine, const SuggestOptions& options);

}  // namespace ktx::placement
