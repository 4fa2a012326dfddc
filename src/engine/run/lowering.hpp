// From a model's graph to one that runs on places: every node has one, values that cross are
// copied, and numbers on GPUs have the types that kernels there read and write.
#pragma once

#include <span>
#include <vector>

#include "core/device/place.hpp"
#include "core/graph/graph.hpp"

namespace ktx::engine {

constexpr int cpu_place = 0;  // index into ModulePlaces::places

/// Where the modules of a model run.
struct ModulePlaces {
  std::vector<device::Place> places{device::Place{}};
  /// [modules] indices into places; routed experts may have several. Empty: all on the first.
  std::vector<std::vector<int>> of_module;
  /// [modules] Whether the experts' last place gets them from the first as a step goes on: who
  /// computes which is decided by the CPU, from the routing. Empty: none.
  std::vector<bool> streams;
  /// [modules] How many of a token's experts on the CPU are deferred (deferral.hpp). Empty: none.
  std::vector<int> deferred;
};

/// Gives every node and value a place, which is an index into places.places. A node without a
/// module runs where its first input on a GPU lies, else where its first input does. An input that
/// lies elsewhere is copied there, once for all readers. Experts of several places become a moe
/// node each, which computes the experts that its place holds, and sums of what they make; the node
/// of a place that they are streamed to reads the routing on the CPU too. Logits end on the first
/// place, which is the CPU.
///
/// On GPUs the inputs of products are bf16: what makes them writes them so where it can (type_of),
/// else a convert node stands behind it.
///
/// Within a layer nodes of GPUs stand before those of the CPU that they do not need: a GPU is given
/// its work and goes on, the CPU is done with its own when the next node begins. Linear nodes of
/// one place that read the same value stand together, so that one pass runs them all; and so do
/// copies between the same two places.
graph::Graph lower(const graph::Graph& graph, const ModulePlaces& places);

/// The graph's nodes in an order in which linear nodes that read the same value stand together.
graph::Graph group_linears(graph::Graph graph);

/// The run of nodes from `first` on that one command executes: one node, up to most_grouped linear
/// nodes that read the same value or copies between the same places; on the CPU routed experts with
/// the layer's shared expert and the sums of what they make, or with one sum; on a GPU a linear
/// node or a copy from the CPU with the sum of its output, two linear nodes with their SiLU
/// product, a norm with its conversion or with the latent attention that reads it, a sum with its
/// norm.
std::span<const graph::Node> command_nodes(const graph::Graph& graph, size_t first);
constexpr size_t most_grouped = 8;

}  // namespace ktx::engine
