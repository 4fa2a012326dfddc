// A budget for rendering a template, because templates are untrusted.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/error.hpp"
#include "text/step_budget.hpp"

namespace ktx::text::jinja {

/// The maximum depth of values and expressions, for which recursive functions have enough stack.
constexpr int max_depth = 200;

/// A step, about 0.1 microseconds, is a node evaluated, an item created or visited, or some bytes.
/// Whatever creates more than it was given pays before it does so.
class Budget {
 public:
  /// `input_bytes`: size of the template and of its variables.
  explicit Budget(size_t input_bytes) noexcept : steps_(4'000'000 + uint64_t{64} * input_bytes) {}

  void pay(uint64_t steps) { steps_.pay(steps, "rendering the template"); }
  void pay_bytes(uint64_t bytes) { pay(1 + bytes / 16); }

  /// Counts one level of nesting during its lifetime.
  class Level {
   public:
    explicit Level(Budget& budget) : budget_(budget) {
      if (budget.depth_ == max_levels)
        throw_input("nested more than " + std::to_string(max_levels) +
                    " levels deep: macros or loops that call themselves without end?");
      ++budget.depth_;
    }
    ~Level() { --budget_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Budget& budget_;
  };

 private:
  static constexpr int max_levels = 1000;  // of statements and expressions being evaluated
  StepBudget steps_;
  int depth_ = 0;
};

}  // namespace ktx::text::jinja
