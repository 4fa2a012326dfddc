// Python's two ways to fill values into a format string.
#pragma once

#include "text/jinja/value.hpp"

namespace ktx::text::jinja {

/// format % values: a tuple or a dict has several, everything else is one.
Text format_percent(const Text& format, const Value& values, Evaluator& evaluator);
/// format.format(*positional, **named)
Text format_braces(const Text& format, const Arguments& values, Evaluator& evaluator);

}  // namespace ktx::text::jinja
