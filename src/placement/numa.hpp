// NUMA policies: which one a module gets, and which node then holds which rows of its weights.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/graph/graph.hpp"
#include "core/hw/machine.hpp"
#include "placement/plan.hpp"

namespace ktx::placement {

/// The policy of a module for which a rule asks for `asked`, or for nothing. On a machine of one
/// node that node, whatever was asked. Otherwise matrices are sharded unless the rule says more:
/// every node then reads its own memory only, and nothing is stored twice. What one thread reads as
/// a whole can't be sharded, and what is no matrix needs no copies: it is interleaved, and `note`
/// says so when something else was asked for.
NumaPolicy effective_policy(graph::Op op, const NumaPolicy* asked, const hw::Machine& machine,
                            std::string& note);

/// Which node holds which rows of each of a weight's matrices. node_threads: workers a node of the
/// machine; a node without any gets no rows of its own. Vectors are interleaved where matrices are
/// replicated or sharded.
std::vector<WeightPart> parts_of(const graph::Weight& weight, bool packed,
                                 const PlannedWeight& planned, const NumaPolicy& policy,
                                 const hw::Machine& machine, std::span<const int> node_threads);

/// The whole of a weight in the memory of a GPU.
std::vector<WeightPart> part_on_gpu(const graph::Weight& weight, const PlannedWeight& planned);

/// Bytes that each node of the plan's machine holds: of weights, and of what all nodes share an
/// equal part: interleaved weights, and what loading or running takes besides.
std::vector<uint64_t> bytes_of_nodes(const Plan& plan);

}  // namespace ktx::placement
