// What the work on one text may cost, counted in steps.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/error.hpp"

namespace ktx::text {

/// Texts, patterns and tables of tokens may all be hostile: what walks over them pays here, so that
/// a text takes time in proportion to its length or is refused. A step is a handful of nanoseconds:
/// a character that is looked at, an item of a pattern that is tried.
class StepBudget {
 public:
  explicit StepBudget(uint64_t steps) noexcept : steps_(steps), left_(steps) {}

  /// For a whole call: the published tokenizers need 10 to 25 steps for a byte of common text and
  /// at most 64 of the oddest.
  static StepBudget for_text(size_t bytes) noexcept {
    return StepBudget(1'000'000 + uint64_t{100} * bytes);
  }

  /// False once more was spent than there is.
  [[nodiscard]] bool spend(uint64_t steps) noexcept {
    enough_ = enough_ && steps <= left_;
    left_ -= std::min(steps, left_);
    return enough_;
  }

  /// The same; throws input error that `what` takes too many.
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
