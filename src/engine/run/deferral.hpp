// Expert deferral: in decode steps the experts of least weight on the CPU are computed while a GPU
// runs the next layer, and added to that layer's experts (Chen et al., "KTransformers", SOSP 2025,
// section 4.2).
#pragma once

#include <cstdint>
#include <span>

#include "engine/run/lowering.hpp"

namespace ktx::engine {

/// A lowered graph in which the CPU's moe nodes leave out places.deferred experts of each token.
/// A node of these stands before the next moe node of the CPU, and its result is added to that
/// one's. The last moe node of the CPU defers nothing.
graph::Graph defer_experts(graph::Graph graph, const ModulePlaces& places);

/// One token's experts: [columns], unused ids -1.
struct TokenExperts {
  std::span<const int32_t> ids;
  std::span<const float> weights;
};

/// The ids of one part, in their columns; the others are -1. Deferred are the `deferred` used ones
/// of least weight, of equal ones the last, but never all.
void select_experts(const TokenExperts& token, graph::MoePart part, int deferred,
                    std::span<int32_t> ids) noexcept;

}  // namespace ktx::engine
