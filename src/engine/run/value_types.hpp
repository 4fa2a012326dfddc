// The types of values on GPUs: products read bf16, everything else f32.
#pragma once

#include "core/graph/graph.hpp"

namespace ktx::engine {

/// Sets the types of values on GPUs and inserts conversions. Every node must have its place.
void give_types(graph::Graph& graph);

}  // namespace ktx::engine
