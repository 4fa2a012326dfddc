// Formatting of numbers, lists and columns for the tools' output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ktx::tools {

/// "1,234.5"-free short number: three significant digits.
std::string short_number(double value);

/// "[2, 3]"
std::string shape_text(const std::vector<int64_t>& shape);

/// "a, b, c"
std::string join(const std::vector<std::string>& words);

/// The text with spaces after it, at least `width` bytes.
std::string padded(std::string text, size_t width);

}  // namespace ktx::tools
