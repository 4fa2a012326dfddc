// Numbers from texts, and rounding, as Python does them.
#pragma once

#include <optional>
#include <string_view>

#include "text/jinja/strings.hpp"
#include "text/jinja/value.hpp"

namespace ktx::text::jinja {

/// int(text, base); nothing if it is not an integer. Throws input error for more than 64 bits.
std::optional<int64_t> parse_integer(std::string_view text, int64_t base);
/// float(value); nothing if it is not a number.
std::optional<double> to_number(const Value& value);
/// round(value, digits): halves to even.
Value rounded(const Value& value, int64_t digits);
/// The fill on both sides that centers a text as Python does.
Padding centered(const Text& text, int64_t width);

}  // namespace ktx::text::jinja
