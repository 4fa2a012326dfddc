// NUMA policies: which one a module gets, and which node holds which rows of its weights.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/graph/graph.hpp"
#include "core/hw/machine.hpp"
#include "placement/plan.hpp"

namespace ktx::placement {

/// The policy of a module. asked: the rule's, or null. On a machine with one node it is always that
/// node. Otherwise matrices are sharded by default, so that every node reads only its own memory
/// and nothing is stored twice. Weights that a single thread reads as a whole can't be sharded, and
/// weights that are not matrices need no copies: these are interleaved, and `note` says so if the
/// rule asked for something else.
NumaPolicy effective_policy(graph::Op op, const NumaPolicy* asked, const hw::Machine& machine,
                            std::string& note);

/// Which node holds which rows of a weight's matrices. node_threads: workers on each node of the
/// machine; a node without any gets no rows of its own. If matrices are replicated or sharded,
/// vectors are interleaved.
std::vector<WeightPart> parts_of(const graph::Weight& weight, bool packed,
                                 const PlannedWeight& planned, const NumaPolicy& policy,
                                 const hw::Machine& machine, std::span<const int> node_threads);

/// A whole weight in the memory of a GPU.
std::vector<WeightPart> part_on_gpu(const graph::Weight& weight, const PlannedWeight& planned);

/// Bytes on each node of the plan's machine: its weights, and an equal share of interleaved weights
/// and of what loading or running needs besides.
std::vector<uint64_t> bytes_of_nodes(const Plan& plan);

}  // namespace ktx::placement
