// Jinja templates, as Hugging Face's transformers renders chat templates.
//
// lexer -> expression_parser, parser -> ast (a tree); evaluator and statements walk it over values:
//   text        strings that know which bytes were given to the template
//   value       what templates compute with; print and json_dump make text of it
//   operators, strings, numbers, format   what Python's operators and types do
//   builtins    the tables: text_filters, list_filters, tests, methods, globals; objects: `loop`,
//   ...
// Templates are untrusted: budget bounds steps, bytes and depth.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/value.hpp"

namespace ktx::text::jinja {

struct Tree;

/// A parsed template. Immutable; const use is thread-safe.
class Template {
 public:
  /// Environment as in transformers: trim_blocks, lstrip_blocks, loop controls, {% generation %}.
  /// Throws input error with line and column; `where` names the template.
  Template(std::string_view source, std::string where);

  /// The text, with marks on what came from `variables`. strftime_now returns `now` if given, else
  /// the current time. Throws input error with line and column for what the template raises, for
  /// mistakes in it, and if it exceeds the limits of steps, memory or depth.
  Text render(const Dict& variables, std::optional<std::time_t> now = {}) const;

 private:
  std::string where_;
  size_t bytes_;
  std::shared_ptr<const Tree> tree_;
};

}  // namespace ktx::text::jinja
