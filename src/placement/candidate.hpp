// A placement that suggestions are chosen from, and the rules file that says it.
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
  cpu,                // and everything else too
  hybrid,             // on the CPU, the rest on the GPUs
  streamed,           // so, but prompts share them with the GPUs
  resident,           // some stay on the GPUs
  resident_streamed,  // and prompts share the others with the GPUs
  gpu                 // all on the GPUs
};

bool keeps_residents(Experts experts) noexcept;
bool streams(Experts experts) noexcept;

struct Candidate {
  Experts experts = Experts::cpu;
  std::string format = "keep";  // of the experts
  std::string dense = "keep";   // of all other linear layers
  std::string numa;             // policy of what is on the CPU; empty: one node
  std::vector<size_t> gpus;     // numbers of those that it uses, ascending
  int64_t chunk = 2048;         // tokens of a slice of a prompt
};

/// The routed experts of a layer; null: the model has none.
const graph::Module* routed_experts(const graph::Model& model);

/// Why the embedding can't be on a GPU; empty: it can.
std::string embedding_refusal(const graph::Model& model);

/// Of the memory of the smallest of them, but for what other programs may take.
uint64_t room_on_gpus(const std::vector<size_t>& gpus, const hw::Machine& machine);

/// The rules file.
std::string rules_text(const Candidate& candidate, const graph::Model& model,
                       const hw::Machine& machine, const SuggestOptions& options);

}  // namespace ktx::placement
