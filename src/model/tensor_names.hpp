// Tensor names: a module's path in Hugging Face terms to the names its tensors have in a
// checkpoint.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/model.hpp"

namespace ktx::model {

/// The path of a module of a layer: `model.layers.3.self_attn.q_proj`.
std::string layer_path(int layer, std::string_view module);

/// The prefix that all tensors of a layer share: `model.layers.3.` or `blk.3.`.
std::string layer_prefix(Naming naming, int layer);

/// Paths of the modules that a layer of some architecture has, always in one order; layer -1: those
/// outside the layers.
std::vector<std::string> module_paths(int layer);

/// Names that the tensor `part` ("weight", "bias") of a module may have, the usual one first. layer
/// -1: the module is outside the layers (`model.norm`). module: its path below the layer
/// (`self_attn.q_proj`). Naming a module that no table row knows is a bug.
std::vector<std::string> tensor_names(Naming naming, int layer, std::string_view module,
                                      std::string_view part);

/// Routed experts' matrices. role: "gate", "up" or "down".
struct ExpertNames {
  /// One tensor [experts, rows, cols].
  std::vector<std::string> stacked;
  /// One tensor [experts, 2 rows, cols] of gate's rows, then up's, for each expert; none for
  /// "down".
  std::vector<std::string> gate_up;
  /// One tensor an expert: the name is first + number + second.
  struct Each {
    std::string first, second;
  };
  std::vector<Each> each;
};
ExpertNames expert_names(Naming naming, int layer, std::string_view role);

}  // namespace ktx::model
