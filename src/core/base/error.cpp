// ktx::Error and its helpers.
#include "core/base/error.hpp"

#include <utility>

#include "core/base/printable.hpp"

namespace ktx {

std::string_view to_string(ErrorCategory category) noexcept {
  switch (category) {
    case ErrorCategory::input:
      return "input";
    case ErrorCategory::environment:
      return "environment";
    case ErrorCategory::bug:
      break;
  }
  return "bug";
}

Error::Error(ErrorCategory category, std::string message, std::string where,
             std::vector<std::string> notes)
    : category_(category),
      message_(std::move(message)),
      where_(std::move(where)),
      notes_(std::move(notes)) {
  what_ = base::printable(where_.empty() ? message_ : where_ + ": " + message_);
  for (const auto& note : notes_) what_ += "\n  note: " + base::printable(note);
}

void throw_input(std::string message, std::string where, std::vector<std::string> notes) {
  throw Error(ErrorCategory::input, std::move(message), std::move(where), std::move(notes));
}
void throw_environment(std::string message, std::string where, std::vector<std::string> notes) {
  throw Error(ErrorCategory::environment, std::move(message), std::move(where), std::move(notes));
}
void throw_bug(std::string message, std::string where) {
  throw Error(ErrorCategory::bug, std::move(message), std::move(where));
}

}  // namespace ktx
