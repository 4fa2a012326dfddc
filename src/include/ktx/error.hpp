// The one exception type that ktx throws: while planning and loading, and for what is asked of a
// session, never from kernels.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace ktx {

enum class ErrorCategory {
  input,        // a file, a rule or an argument is wrong: the user can mend it
  environment,  // the machine refused: no memory, disk full, missing device
  bug,          // ktx contradicts itself: please report
};

/// "input", "environment" or "bug".
std::string_view to_string(ErrorCategory category) noexcept;

/// What went wrong, where, and what would work.
class Error : public std::exception {
 public:
  /// message: names the subject, what was expected and what was found.
  /// where: `file`, `file:line:column` or a tensor or module name; may be empty.
  /// notes: further lines, e.g. the nearest valid names.
  Error(ErrorCategory category, std::string message, std::string where = {},
        std::vector<std::string> notes = {});

  ErrorCategory category() const noexcept { return category_; }
  const std::string& message() const noexcept { return message_; }
  const std::string& where() const noexcept { return where_; }
  const std::vector<std::string>& notes() const noexcept { return notes_; }

  /// `where: message`, then one line `  note: ...` per note.
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  ErrorCategory category_;
  std::string message_, where_;
  std::vector<std::string> notes_;
  std::string what_;
};

}  // namespace ktx
