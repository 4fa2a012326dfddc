// Reasoning in an answer, dimmed on a terminal.
#pragma once

#include <string>
#include <string_view>

namespace ktx::tools {

/// Passes an answer's pieces on; what stands between <think> and </think> is dimmed. Marks may be
/// cut across pieces: what could be the beginning of one is held back.
class Thinking {
 public:
  /// `dim`: whether to dim at all. `inside`: the prompt has begun the reasoning already.
  Thinking(bool dim, bool inside);

  std::string push(std::string_view piece);
  /// What was held back, and the end of the dimming.
  std::string finish();

 private:
  const bool dim_;
  bool inside_, started_ = false;
  std::string held_;
};

/// Does the text of a prompt end with <think>?
bool begins_thinking(std::string_view prompt);

}  // namespace ktx::tools
