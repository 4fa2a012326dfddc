// What all command lines share: the door to CLI11, options of one kind named once, errors, exit
// codes.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "ktx/plan.hpp"

namespace ktx::tools {

/// 0: done; 1: it failed, the reason is on stderr; 2: the command line is wrong.
enum ExitCode : int { exit_done = 0, exit_failed = 1, exit_usage = 2 };

/// Options that name a model and how it is placed: --model, --rules, --experts-per-token,
/// --threads,
/// --cache-length.
void add_plan_options(CLI::App& app, PlanOptions& options);

/// Parses argv, then runs body and turns ktx::Error and every other exception into a message on
/// stderr and an exit code. Output that stdout could not take (a full disk) is such an error.
int run_tool(CLI::App& app, int argc, char** argv, const std::function<void()>& body);

/// Writes text to stdout at once. Throws ktx::Error when it can't.
void print(const std::string& text);

/// "1,234.5"-free short number: three significant digits.
std::string short_number(double value);

}  // namespace ktx::tools
