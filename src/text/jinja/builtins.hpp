// The builtin functions of templates: filters, tests, methods of values, global functions. Each is
// a row of a table; this file has what calls to them share.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.hpp"

namespace ktx::text::jinja {

class Call;

/// `parameters`: names separated by spaces. "count?" is optional, "*" takes further positional
/// arguments, "**" further named ones.
struct Builtin {
  std::string_view name, parameters;
  Value (*run)(Call&);
};

/// One call of a builtin, its arguments bound to its parameters.
class Call {
 public:
  /// Throws input error when the arguments don't fit.
  Call(Evaluator& by, const Builtin& builtin, const Value& of, Arguments arguments);

  Evaluator& evaluator;
  Budget& budget;
  const Value& subject;  // what a filter, a test or a method is applied to
  Arguments rest;        // of "*" and "**"

  /// Whether the i-th parameter is given and not None.
  bool has(size_t i) const { return arguments_[i] != nullptr && !arguments_[i]->is_none(); }
  /// The argument, even if it is None; null if it is not given.
  const Value* find(size_t i) const { return arguments_[i]; }
  const Value& value(size_t i) const { return *arguments_[i]; }
  /// Throw input error when the argument is of another type.
  int64_t integer(size_t i, int64_t otherwise) const;
  int64_t integer(size_t i) const;
  bool flag(size_t i, bool otherwise = false) const;
  const Text& text(size_t i) const;
  const Text& subject_text() const;  // of a method of strings

  [[noreturn]] void fail(const std::string& message) const;

 private:
  void bind(Arguments arguments);

  const Builtin& builtin_;
  Arguments given_;
  std::vector<std::string_view> names_;
  std::vector<const Value*> arguments_;
};

/// The row of that name, or null.
const Builtin* find_builtin(std::span<const Builtin> table, std::string_view name);

/// A builtin as a value: a global function, or the method of a value.
Value function_of(const Builtin& builtin, Value subject = {});

std::span<const Builtin> text_filters();
std::span<const Builtin> list_filters();
std::span<const Builtin> tests();
std::span<const Builtin> string_methods();
std::span<const Builtin> list_methods();  // of tuples, too
std::span<const Builtin> dict_methods();
std::span<const Builtin> global_functions();

/// The filter of that name. Throws input error that names the nearest ones.
const Builtin& filter_named(std::string_view name);
const Builtin& test_named(std::string_view name);

}  // namespace ktx::text::jinja
