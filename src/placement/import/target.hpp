// The model that imported rules are for.
#pragma once

#include <string>

#include "core/graph/graph.hpp"
#include "model/model.hpp"

namespace ktx::placement {

struct ImportTarget {
  const graph::Model& model;
  std::string name;           // what it was opened as, for comments
  model::Naming naming = {};  // of the tensors of its weights
};

}  // namespace ktx::placement
