// How one value is laid out in a formatted text: width, sign, precision.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/value.hpp"

namespace ktx::text::jinja {

/// [[fill]align][sign][#][0][width][,][.precision][type] of Python.
struct FormatSpec {
  std::string fill = " ";
  char align = 0;  // < > ^ =; 0: the type's own
  char sign = '-';
  bool alternate = false;
  char grouping = 0;  // , or _ between thousands
  int64_t width = 0, precision = -1;
  char type = 0;
};

/// Throws input error if it is not a specification.
FormatSpec parse_format_spec(std::string_view text);

/// The value as the specification says. Throws input error when it doesn't fit the value's type.
Text format_value(const Value& value, const FormatSpec& spec, Budget& budget);

/// Reads digits at `at` and advances it past them; `otherwise` if there are none.
int64_t read_count(std::string_view text, size_t& at, int64_t otherwise);

}  // namespace ktx::text::jinja
