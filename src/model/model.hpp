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

/// Where a language model lies within a larger one: its names that begin with `from` begin with
/// `to` in the checkpoint.
struct Renaming {
  std::string from, to;
};

/// A checkpoint's header. What is referred to must outlive build_model only.
struct Source {
  Naming naming = Naming::hugging_face;
  const Json* config = nullptr;  // object of config.json, or of the GGUF metadata: key -> value
  graph::TensorLookup tensors;
  std::string where;  // file, for messages

  /// All tensors that can be read: each must have its use, and messages name the nearest. May be
  /// empty: then nothing is known of either.
  std::span<const graph::TensorMeta> listed = {};
  /// Names of the tensors that are there and can't be read.
  std::vector<std::string> unread = {};
  Renaming renaming = {};
  /// What has no use is a warning, not an error.
  bool ignore_unused = false;
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
/// hyper-parameter, a missing tensor, a wrong shape; a tensor or a hyper-parameter that the
/// architecture here has no use for (model/accounting.hpp).
graph::Model build_model(const Source& source);

}  // namespace ktx::model
