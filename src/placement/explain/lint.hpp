// Lint: warnings about what runs but is probably not intended.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "placement/plan.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

struct Finding {
  std::string check;    // LintCheck::name
  std::string where;    // "file:line", a flag, or the file
  std::string message;  // what was found, and what would be better
};

/// "file:line: message [check]"
std::string to_string(const Finding& finding);

/// What a check looks at: rules, and the plan that was made of them.
struct Linted {
  const Rules& rules;
  const Plan& plan;
};

/// A row of the table of checks. What can only be a mistake is not a lint finding but an error: a
/// rule that never applies, for example.
struct LintCheck {
  std::string_view name;
  std::string_view doc;
  void (*find)(const Linted& linted, std::vector<Finding>& findings);
};

std::span<const LintCheck> lint_checks() noexcept;

/// What all checks find, in their order.
std::vector<Finding> lint(const Rules& rules, const Plan& plan);

}  // namespace ktx::placement
