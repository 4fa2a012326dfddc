// Writing safetensors files: whole ones, such as logits, and the beginning of large ones.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "loader/file_layout.hpp"

namespace ktx::loader {

struct SafetensorsTensor {
  std::string name;
  std::string_view dtype;      // "BF16", "F32", "I32", "F8_E4M3", ...
  std::vector<int64_t> shape;  // outermost first
};

/// The tensors in the given order, without gaps; the data begin at a multiple of 8 bytes. Equal
/// names, an unknown dtype and a negative dimension are `bug` errors.
FileLayout safetensors_layout(std::span<const SafetensorsTensor> tensors);

struct NamedArray {
  std::string name;
  std::vector<int64_t> shape;  // outermost first; its product is the number of values
  std::variant<std::span<const float>, std::span<const int32_t>> values;  // F32 or I32
};

/// Writes all arrays in the given order. The file appears whole or not at all: a full disk is an
/// environment error. Equal names, or values that don't fill their shape, are a `bug` error.
void write_safetensors(const std::filesystem::path& file, std::span<const NamedArray> arrays);

}  // namespace ktx::loader
