// From a model's graph to one that runs on places: every node has one, values that cross are
// copied.
#pragma once

#include <span>
#include <vector>

#include "core/graph/graph.hpp"

namespace ktx::engine {

/// Gives every node and value a place, which is a number from 0 on.
///
/// places[m]: where module m runs; routed experts may live on several. A node without a module runs
/// where its first input lies. An input that lies elsewhere is copied there, once for all readers.
/// Experts of several places become a moe node each, which computes the experts that its place
/// holds (MoeArgs::slots), and sums of what they make.
///
/// Linear nodes of one place that read the same value then stand together, so that one pass over
/// the workers runs them all.
graph::Graph lower(const graph::Graph& graph, std::span<const std::vector<int>> places);

/// The graph's nodes in an order in which linear nodes that read the same value stand together.
graph::Graph group_linears(graph::Graph graph);

/// The run of nodes from `first` on that one command executes: one node, or up to most_grouped
/// linear nodes that read the same value.
std::span<const graph::Node> command_nodes(std::span<const graph::Node> nodes, size_t first);
constexpr size_t most_grouped = 8;

}  // namespace ktx::engine
