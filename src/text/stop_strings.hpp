// Ends a text before the first stop string in it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ktx::text {

/// Passes a text on piece by piece; what may be the beginning of a stop string is held back until
/// the next pieces decide. Of several strings that one ends the text which is complete first, the
/// longest of those with the same end: the cuts between pieces change nothing.
class StopStrings {
 public:
  /// Throws input error for a string that is empty or no UTF-8.
  explicit StopStrings(std::vector<std::string> strings);

  /// Nothing, once a stop string was found.
  std::string push(std::string_view piece);
  /// What was held back.
  std::string finish();
  bool found() const noexcept { return found_; }

 private:
  std::vector<std::string> strings_;
  std::string held_;
  bool found_ = false;
};

}  // namespace ktx::text
