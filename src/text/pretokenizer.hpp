// The pre-tokenizer: splits text into the pieces that byte-pair encoding works on.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/json.hpp"
#include "text/metaspace.hpp"
#include "text/regex.hpp"

namespace ktx::text {

/// What becomes of the matches of a Split, as in the `tokenizers` library.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// A sequence of steps; each cuts the pieces that the ones before it left. Bytes that are not valid
/// UTF-8 are pieces of their own from the start. Const use is thread-safe.
class PreTokenizer {
 public:
  PreTokenizer() = default;

  /// From the member `pre_tokenizer` of a tokenizer.json; null cuts nothing. Throws input error
  /// that names a step that is not supported.
  static PreTokenizer from_json(const Json& pre_tokenizer, const std::string& where);

  /// Of these patterns, each of whose matches is isolated; for byte-level GGUF files.
  static PreTokenizer from_patterns(const std::vector<std::string>& patterns,
                                    const std::string& where);

  /// Appends the pieces as spans, from left to right. Returns the text that the spans refer to:
  /// `text`, or `buffer` when a step inserts spaces. begins: is it the begin of the whole text, not
  /// of a later section? Throws input error when the patterns of the file take more steps than the
  /// budget has.
  std::string_view split(std::string_view text, std::string& buffer, std::vector<Span>& pieces,
                         StepBudget& budget, bool begins = true) const;

  /// Are the pieces bytes, which the vocabulary spells in the byte alphabet? Where steps follow on
  /// ByteLevel, the pieces are spelled so already.
  bool byte_level() const noexcept { return byte_level_; }
  /// Does Metaspace put a space before a text?
  bool prepends() const noexcept;

 private:
  struct Split {
    Regex regex;
    SplitBehavior behavior = SplitBehavior::isolated;
    bool invert = false;
  };
  struct PrefixSpace {
  };  // ByteLevel's add_prefix_space: a space before pieces that begin with none
  struct ByteAlphabet {};  // the pieces in the byte alphabet, for steps behind ByteLevel
  using Change = std::variant<PrefixSpace, Metaspace, ByteAlphabet>;
  using Step = std::variant<Split, Change>;

  void add_json(const Json& step, const std::string& where);
  bool add_simple(const std::string& type, const Json& step, const std::string& where);
  void add_split(const Json& step, const std::string& where);
  void add_pattern(std::string_view pattern, SplitBehavior behavior, bool invert = false);
  static void apply(const Split& split, std::string_view text, std::vector<Span>& pieces,
                    StepBudget& budget);
  static std::string apply(const Change& change, std::string_view text, std::vector<Span>& pieces,
                           bool begins);
  // The piece's new text; begins: is it the first of the whole text?
  static std::string changed(PrefixSpace, std::string_view piece, bool begins);
  static std::string changed(ByteAlphabet, std::string_view piece, bool begins);
  static std::string changed(const Metaspace& metaspace, std::string_view piece, bool begins);

  std::vector<Step> steps_;
  bool byte_level_ = false;
};

}  // namespace ktx::text
