// A budget of steps for the work on one text, against hostile input.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/error.hpp"

namespace ktx::text {

/// Texts, patterns and token tables may all be hostile, so code that walks over them pays for each
/// step. A text then takes time proportional to its length or is refused. A step takes a few
/// nanoseconds: a character that is looked at, or an item of a pattern that is tried.
class StepBudget {
 public:
  explicit StepBudget(uint64_t steps) noexcept : steps_(steps), left_(steps) {}

  /// For a whole call: published tokenizers need 10 to 25 steps per byte of common text, and at
  /// most 64 for unusual text.
  static StepBudget for_text(size_t bytes) noexcept {
    return StepBudget(1'000'000 + uint64_t{100} * bytes);
  }

  /// False once the budget is exceeded.
  [[nodiscard]] bool spend(uint64_t steps) noexcept {
    enough_ = enough_ && steps <= left_;
    left_ -= std::min(steps, left_);
    return enough_;
  }

  /// The same, but throws input error "<what> takes more than N steps".
  void pay(uint64_t steps, std::string_view what) {
    if (!spend(steps)) throw_input(std::string(what) + excess());
  }

  /// " takes more than N steps": the end of a message.
  std::string excess() const { return " takes more than " + std::to_string(steps_) + " steps"; }

  uint64_t spent() const noexcept { return steps_ - left_; }

 private:
  uint64_t steps_, left_;
  bool enough_ = true;
};

}  // namespace ktx::text
