// The names that llama.cpp has for a module's weights.
#pragma once

#include <string>
#include <vector>

#include "core/graph/module.hpp"
#include "placement/import/target.hpp"

namespace ktx::placement {

struct GgufTensor {
  std::string name;
  int64_t weights = 0;
};

/// Those of a GGUF checkpoint are its own; for others they are what a conversion would name them.
std::vector<GgufTensor> gguf_tensors(const graph::Module& module, model::Naming naming);

}  // namespace ktx::placement
