// Streaming detokenization: token ids to text, never part of a character.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/tokenizer.hpp"

namespace ktx::text {

/// Bytes to valid UTF-8, however the bytes are split: a character is returned once it is complete,
/// and each maximal subpart of an invalid sequence becomes one U+FFFD, as the Unicode standard
/// recommends.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);
  /// U+FFFD for an incomplete character; the stream starts over.
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
