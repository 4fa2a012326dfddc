// Writing a safetensors file, for outputs such as logits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace ktx::loader {

struct NamedArray {
  std::string name;
  std::vector<int64_t> shape;  // outermost first; its product is the number of values
  std::variant<std::span<const float>, std::span<const int32_t>> values;  // F32 or I32
};

/// Writes all arrays in the given order. The file appears whole or not at all: a full disk is an
/// environment error. Equal names, or values that don't fill their shape, are a `bug` error.
void write_safetensors(const std::filesystem::path& file, std::span<const NamedArray> arrays);

}  // namespace ktx::loader
