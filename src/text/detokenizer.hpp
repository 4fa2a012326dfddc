// Token ids to text as they come, never part of a character.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/tokenizer.hpp"

namespace ktx::text {

/// Bytes to valid UTF-8, whatever the bytes are cut into: a character comes out once it is whole,
/// and each maximal part of an invalid sequence as one U+FFFD, as the Unicode standard advises.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);
  /// U+FFFD for a character that was not finished; the stream begins anew.
  std::string finish();

 private:
  std::string held_;  // the begin of a character: at most 3 bytes
};

struct DetokenizerOptions {
  bool print_special = false;  // special tokens as their text; otherwise they are left out
  bool begins = false;         // a whole text, not what follows on another
};

/// The text of one sequence of ids. The tokenizer must outlive it.
class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer, DetokenizerOptions options = {})
      : tokenizer_(&tokenizer), options_(options) {
    if (options.begins) start_ = tokenizer.text_start();
  }

  /// The text that is complete after this id; often empty within a character of several tokens.
  /// A character that a special token interrupts comes out as U+FFFD. Ids that no token has (a
  /// model's logits may be wider than its vocabulary) give nothing.
  std::string push(int32_t id);

  /// What was held back: U+FFFD for an unfinished character.
  std::string finish() { return stream_.finish(); }

 private:
  const Tokenizer* tokenizer_;
  DetokenizerOptions options_;
  TextStart start_;
  Utf8Stream stream_;
};

}  // namespace ktx::text
