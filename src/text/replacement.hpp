// The Replace step of normalizers and decoders: a text or a pattern, and its replacement.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/base/json.hpp"
#include "text/regex.hpp"

namespace ktx::text {

class Replacement {
 public:
  Replacement(std::string text, std::string by) : text_(std::move(text)), by_(std::move(by)) {}

  /// From {"pattern": {"String" or "Regex": ...}, "content": ...}. Throws input error.
  static Replacement from_json(const Json& step, const std::string& where);

  /// The text with every match replaced. Throws input error when the budget is spent.
  std::string apply(std::string_view text, StepBudget& budget) const;

 private:
  std::string text_;  // what is replaced, unless there is a pattern
  std::optional<Regex> pattern_;
  std::string by_;
};

}  // namespace ktx::text
