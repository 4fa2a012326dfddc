// Translates the placement files of other programs to ktx rules files.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace ktx {

struct ImportOptions {
  /// A file of KTransformers optimize rules. Give this or tensor_overrides, not both.
  std::filesystem::path ktransformers;
  /// The arguments of llama.cpp's --override-tensor, "regex=BUFFER,regex=BUFFER": one element for
  /// each time the option is given.
  std::vector<std::string> tensor_overrides;
  /// The model that the rules are for, as PlanOptions::model; its header is enough. Empty: a
  /// published model of the kind that the KTransformers file names; for overrides, DeepSeek-V3.
  std::filesystem::path model;
};

/// The text of a rules file that places the model's modules as the other program would. Comments in
/// it name what has no equivalent in ktx. Throws ktx::Error: input when the rules or the model
/// can't be read, or when ImportOptions::model is empty and the rules don't tell which model they
/// are for.
std::string import_rules(const ImportOptions& options);

}  // namespace ktx
