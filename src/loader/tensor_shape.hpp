// Shapes of untrusted tensors: printing, and products that can't overflow.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/limits.hpp"

namespace ktx::loader {

/// "[4, 1024]"
inline std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t n : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

/// The product of the dimensions; nothing when one is negative or the product above
/// limits::weights.
inline std::optional<int64_t> count_weights(const std::vector<int64_t>& shape) {
  bool empty = false;
  int64_t product = 1;
  for (const int64_t n : shape) {
    if (n < 0) return std::nullopt;
    if (n == 0) {
      empty = true;
    } else {
      if (n > limits::weights / product) return std::nullopt;
      product *= n;
    }
  }
  return empty ? 0 : product;
}

}  // namespace ktx::loader
