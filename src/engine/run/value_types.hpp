// The types of values on GPUs: products read bf16, everything else f32.
#pragma once

#include "core/graph/graph.hpp"

namespace ktx::engine {

/// Gives the values on GPUs their types and inserts what converts between them. Every node has its
/// place.
void give_types(graph::Graph& graph);

}  // namespace ktx::engine
