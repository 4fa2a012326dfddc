// Cuts text into the pieces that byte-pair encoding works on.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/json.hpp"
#include "text/regex.hpp"

namespace ktx::text {

/// What becomes of the matches of a Split, as in the `tokenizers` library.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// A sequence of steps; each cuts the pieces that the ones before it left. Bytes that are not valid
/// UTF-8 are pieces of their own from the start. Const use is thread-safe.
class PreTokenizer {
 public:
  /// From the member `pre_tokenizer` of a tokenizer.json: Sequence, Split, Digits and ByteLevel,
  /// the last of which must be there and be last. Throws input error for what is not supported.
  static PreTokenizer from_json(const Json& pre_tokenizer, const std::string& where);

  /// Of these patterns, each of whose matches is isolated; for GGUF files.
  static PreTokenizer from_patterns(const std::vector<std::string>& patterns,
                                    const std::string& where);

  /// Appends the pieces as spans, from left to right. Returns the text that the spans refer to:
  /// `text`, or `buffer` when a step inserts spaces. Throws input error when the patterns of the
  /// file take more steps than the budget has.
  std::string_view split(std::string_view text, std::string& buffer, std::vector<Span>& pieces,
                         StepBudget& budget) const;

 private:
  struct Split {
    Regex regex;
    SplitBehavior behavior = SplitBehavior::isolated;
    bool invert = false;
  };
  struct PrefixSpace {
  };  // ByteLevel's add_prefix_space: a space before pieces that begin with none
  using Step = std::variant<Split, PrefixSpace>;

  void add_json(const Json& step, const std::string& where);
  void add_split(const Json& step, const std::string& where);
  static void apply(const Split& split, std::string_view text, std::vector<Span>& pieces,
                    StepBudget& budget);
  static std::string_view apply(PrefixSpace, std::string_view text, std::string& buffer,
                                std::vector<Span>& pieces);

  std::vector<Step> steps_;
  bool byte_level_ = false;
};

}  // namespace ktx::text
