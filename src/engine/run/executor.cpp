// Layer by layer through a program.
#include "engine/run/executor.hpp"

namespace ktx::engine {

void Step::advance() noexcept {
  for (const auto& command : program_.layers()[next_]) command->run(context_);
  ++next_;
}

const float* Step::logits(int64_t begin, int64_t rows) noexcept {
  context_.logit_rows = std::span(context_.batch.logit_rows)
                            .subspan(static_cast<size_t>(begin), static_cast<size_t>(rows));
  for (const auto& command : program_.tail()) command->run(context_);
  return context_.workspace.view(program_.logits()).data;
}

}  // namespace ktx::engine
