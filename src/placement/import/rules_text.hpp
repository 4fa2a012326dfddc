// Writes a rules file: rules, and comments on what could not be translated.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "placement/rules.hpp"

namespace ktx::placement {

/// What a rule says where its modules go: keys and values of `place` or of a phase, as flow text.
struct WrittenPlace {
  std::vector<std::string> devices;  // several: the layers are spread over them
  std::string format;                // empty: keep
  bool stream = false;
  int defer = 0;

  std::string text() const;  // {device: 'cuda:0', format: int4/64}
  bool operator==(const WrittenPlace&) const = default;
};

class RulesText {
 public:
  /// head: lines of the comment that opens the file.
  explicit RulesText(std::string_view head);

  /// A comment that begins what is said of the next rules, after an empty line; wrapped.
  void section(std::string_view text);
  /// A further comment.
  void comment(std::string_view text);
  void rule(const std::string& name, const Match& match, const WrittenPlace& place,
            const WrittenPlace& prefill = {});

  const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
  bool first_ = true;  // section
};

}  // namespace ktx::placement
