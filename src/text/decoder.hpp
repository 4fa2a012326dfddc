// The decoder of a tokenizer: from tokens back to text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/json.hpp"
#include "text/replacement.hpp"

namespace ktx::text {

/// What is stripped from the beginning of a text, such as the space that SentencePiece puts there.
/// Each text needs a copy of its own.
class TextStart {
 public:
  /// The bytes of the next token, stripped.
  std::string_view cut(std::string_view bytes);
  /// Ends stripping, because something other than a token's text comes first.
  void end() { strip_count_ = 0; }

 private:
  friend class Decoder;
  std::string strip_;  // stripped up to strip_count_ times while the text begins with it
  size_t strip_count_ = 0;
  bool first_token_only_ = false;
};

/// A sequence of steps, as in the `tokenizers` library. They work on single tokens (except for what
/// TextStart does), so that text can be produced while tokens arrive.
class Decoder {
 public:
  /// The tokens are the text.
  Decoder() = default;

  /// From the member `decoder` of a tokenizer.json. Throws input error that names a step that is
  /// not supported.
  static Decoder from_json(const Json& decoder, const std::string& where);

  /// Of vocabularies in the byte alphabet.
  static Decoder byte_level();

  /// Of SentencePiece vocabularies: U+2581 is a space, <0x41> the byte; with `space_prefix` a text
  /// loses the space that it begins with.
  static Decoder sentencepiece(bool space_prefix);

  /// What a token stands for within a text. Throws input error when the budget is spent.
  std::string bytes(const std::string& token, StepBudget& budget) const;

  const TextStart& start() const noexcept { return start_; }

 private:
  struct ByteLevel {};
  struct ByteFallback {};
  struct Strip {
    std::string text;
    size_t left = 0, right = 0;  // so many times at most
  };
  using Step = std::variant<ByteLevel, ByteFallback, Replacement, Strip>;

  void add_json(const Json& step, const std::string& where);
  void add_strip(const Json& step, const std::string& where);
  void add_metaspace(const Json& step, const std::string& where);
  static std::string run(ByteLevel, const std::string& token, StepBudget&);
  static std::string run(ByteFallback, const std::string& token, StepBudget&);
  static std::string run(const Replacement& step, const std::string& token, StepBudget& budget);
  static std::string run(const Strip& step, const std::string& token, StepBudget&);

  std::vector<Step> steps_;
  TextStart start_;
  bool whole_ = false;  // tokens were joined: further steps work on the whole text
};

}  // namespace ktx::text
