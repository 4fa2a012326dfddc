// Values as JSON text.
#pragma once

#include <optional>

#include "text/jinja/value.hpp"

namespace ktx::text::jinja {

/// As Python's json.dumps: the same spaces, escapes and floats.
struct JsonStyle {
  bool ensure_ascii = false, sort_keys = false;
  std::optional<Text> indent;  // of one level; nothing: all on one line
  Text item_separator = Text(", "), key_separator = Text(": ");
};

/// Throws input error for values that JSON has no form for.
Text dump_json(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace ktx::text::jinja
