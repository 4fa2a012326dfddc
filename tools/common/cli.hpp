// What all command lines share, by CLI11: common options, error reporting, exit codes.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "ktx/plan.hpp"

namespace ktx::tools {

/// 0: done; 1: it failed, the reason is on stderr; 2: the command line is wrong, as is an error
/// whose place is an option ("--goal").
enum ExitCode : int { exit_done = 0, exit_failed = 1, exit_usage = 2 };

/// A check for options that take a name: an empty text, of a shell variable that is not set, is no
/// wish for the default.
extern const CLI::Validator not_empty;

/// Options that name a rules file, and what stands above its settings: --model, --threads,
/// --context, ...
void add_plan_options(CLI::App& app, PlanOptions& options);

/// The plan for sessions that hold `tokens` tokens at least, where options or rules file give
/// fewer.
Plan make_plan_for(PlanOptions options, int64_t tokens);

/// A check for options: a whole number in decimal digits, for CLI11 takes 010 for 8 and wraps what
/// is out of range.
CLI::Validator whole_number(int64_t least, uint64_t most = std::numeric_limits<int>::max());

/// A check for options: a finite number, of float32's range, for which `holds` is true; `what`,
/// e.g. "above 0", completes "expected a number".
CLI::Validator number_that_is(const std::string& what, const std::function<bool(double)>& holds);

/// The values of a list option, each checked. Throws CLI::ValidationError, for an empty one too,
/// which CLI11 would pass over.
std::vector<std::string> list_values(const std::string& option,
                                     const std::vector<std::string>& texts,
                                     const CLI::Validator& check);

/// An option of several values: between commas, or one by one.
template <class T>
CLI::Option* add_list(CLI::App& app, const std::string& names, std::vector<T>& values,
                      const std::string& description,
                      const CLI::Validator& check = CLI::Validator()) {
  const auto fill = [=, &values](const std::vector<std::string>& texts) {
    values.clear();
    for (const auto& text : list_values(names.substr(names.find("--")), texts, check))
      if (!CLI::detail::lexical_cast(text, values.emplace_back()))
        throw CLI::ConversionError(text, names);
  };
  auto* option = app.add_option_function<std::vector<std::string>>(names, fill, description);
  if (!values.empty()) option->default_str("[" + CLI::detail::join(values) + "]");
  return option;
}

/// Adds --version, parses argv, then runs body and turns ktx::Error and every other exception into
/// a message on stderr and an exit code. Output that stdout could not take (a full disk) is such an
/// error. A CLI::ParseError of body's is a wrong command line, as one of parsing is. `built_with`:
/// what --version says besides.
int run_tool(CLI::App& app, int argc, char** argv, const std::function<void()>& body,
             const std::string& built_with = {});

/// "<tool>: warning: <message>" on stderr.
void warn(std::string_view message);

/// Writes text to stdout at once. Throws ktx::Error when it can't.
void print(const std::string& text);

}  // namespace ktx::tools
