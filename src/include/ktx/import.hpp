// Rules files of other programs, translated to ktx's.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace ktx {

struct ImportOptions {
  /// A file of KTransformers' optimize rules; or
  std::filesystem::path ktransformers;
  /// what llama.cpp takes as --override-tensor: "regex=BUFFER,regex=BUFFER"; its arguments one by
  /// one where it is given several times.
  std::vector<std::string> tensor_overrides;
  /// The model that the rules are for, as PlanOptions::model; its header is enough. Empty: a
  /// published one of the kind that a file of KTransformers names, for overrides DeepSeek-V3.
  std::filesystem::path model;
};

/// The text of a rules file that gives the modules of the model the places that they have there.
/// Comments in it say what has no equal. Throws ktx::Error (input) for what it can't read, and for
/// a file for models of which none can be made up: it asks for one.
std::string import_rules(const ImportOptions& options);

}  // namespace ktx
