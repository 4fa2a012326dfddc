// Access to the internals of public objects, for the engine's own files and for tests.
#pragma once

#include <memory>
#include <utility>

#include "ktx/engine.hpp"
#include "ktx/plan.hpp"
#include "ktx/tokenizer.hpp"

namespace ktx::engine {

struct Access {
  static const std::shared_ptr<EngineState>& state(const Engine& engine) noexcept {
    return engine.state_;
  }

  static const placement::Plan& details(const Plan& plan) noexcept { return *plan.plan_; }
  /// The checkpoint as planning opened it; loading reuses it.
  static const std::shared_ptr<const loader::TensorSource>& source(const Plan& plan) noexcept {
    return plan.source_;
  }

  static Tokenizer tokenizer(std::shared_ptr<const Tokenizer::State> state) {
    return Tokenizer(std::move(state));
  }
};

}  // namespace ktx::engine
