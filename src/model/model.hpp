// From a checkpoint's header to a model: recognises its architecture and builds the checked graph.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"
#include "core/graph/graph.hpp"

namespace ktx::model {

/// How a checkpoint names its tensors and hyper-parameters.
enum class Naming { hugging_face, gguf };

/// A checkpoint's header. What is referred to must outlive build_model only.
struct Source {
  Naming naming = Naming::hugging_face;
  const Json* config = nullptr;  // object of config.json, or of the GGUF metadata: key -> value
  graph::TensorLookup tensors;
  std::string where;  // file, for messages

  /// All tensors: finds multi-token-prediction layers and, for messages, the nearest names. May be
  /// empty: then neither is known.
  std::span<const graph::TensorMeta> listed = {};
  /// Why a tensor isn't found: "is not in the checkpoint", or what keeps it from being read.
  std::function<std::string(std::string_view name)> why_missing = {};
  /// For a checkpoint that is yet to be written: makes the description of a tensor that the model
  /// needs, of that name and shape. `tensors` then only says which layout is chosen, where there
  /// are several.
  std::function<const graph::TensorMeta&(const std::string& name,
                                         const std::vector<int64_t>& shape)>
      declare = {};
  /// Numbers of a small tensor, in order. Needed only by GGUF files that keep rotary factors in a
  /// tensor (rope_freqs.weight of Llama 3.1 and later); these are an input error without it.
  std::function<std::vector<float>(const graph::TensorMeta& tensor)> values = {};
};

/// Recognises the architecture, reads its hyper-parameters, finds all tensors and checks their
/// shapes, and builds the graph. Throws input errors that name the file, the key or tensor, what
/// was expected and what was found: an unknown architecture, a missing or impossible
/// hyper-parameter, a missing tensor, a wrong shape.
graph::Model build_model(const Source& source);

}  // namespace ktx::model
