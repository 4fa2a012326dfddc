// The one exception type of ktx. Planning, loading and calls on a session throw it; kernels never
// do.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace ktx {

enum class ErrorCategory {
  input,        // a file, a rule or an argument is wrong: the user can fix it
  environment,  // the machine lacks something: memory, disk space, a device
  bug,          // an internal inconsistency in ktx: please report it
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
