// Shapes of untrusted tensors: printing, and products that can't overflow.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ktx::loader {

/// "[4, 1024]"
inline std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t n : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

/// Tensors with more numbers than this (72 P) are taken for broken; bytes then fit in 64 bits too.
inline constexpr int64_t max_weights = int64_t{1} << 56;

/// The product of the dimensions; nothing when one is negative or the product above max_weights.
inline std::optional<int64_t> count_weights(const std::vector<int64_t>& shape) {
  bool empty = false;
  int64_t product = 1;
  for (const int64_t n : shape) {
    if (n < 0) return std::nullopt;
    if (n == 0) {
      empty = true;
    } else {
      if (n > max_weights / product) return std::nullopt;
      product *= n;
    }
  }
  return empty ? 0 : product;
}

}  // namespace ktx::loader
