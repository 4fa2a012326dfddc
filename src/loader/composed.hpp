// Which tensors of a directory make up one of the model: FP8 codes and their scales, packed
// integers.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "loader/file_source.hpp"
#include "loader/quantization.hpp"
#include "loader/safetensors_header.hpp"

namespace ktx::loader {

/// A tensor as the header of a file has it.
struct FoundTensor {
  size_t file = 0;  // number
  const base::ByteSource* bytes = nullptr;
  std::string where;
  SafetensorsEntry entry;
};

/// A tensor of that name, or nullptr.
using FindTensor = std::function<const FoundTensor*(const std::string& name)>;

struct Composed {
  std::string name;                  // "x.weight"
  std::optional<FileTensor> tensor;  // none: it can't be read
  std::string problem;               // why: "has no ..."
  std::vector<std::string> parts;    // names of all that it is made from
};

/// What the tensor is the first part of; nothing when it is none.
std::optional<Composed> compose(const FoundTensor& first, const FindTensor& find,
                                const Quantization& quantization);

}  // namespace ktx::loader
