// The normalizer of a tokenizer: what is done to a text before it is split.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/json.hpp"
#include "text/replacement.hpp"
#include "text/unicode.hpp"

namespace ktx::text {

/// The spelling of a space in SentencePiece vocabularies: U+2581.
inline constexpr const char* space_mark = "\u2581";

/// Whether a stretch of text is at the beginning or end of its section, the text between two added
/// tokens.
struct SectionEnds {
  bool first = true, last = true;
};

/// A sequence of steps, as in the `tokenizers` library. Const use is thread-safe.
class Normalizer {
 public:
  Normalizer() = default;

  /// From the member `normalizer` of a tokenizer.json. Throws input error that names a step that is
  /// not supported.
  static Normalizer from_json(const Json& normalizer, const std::string& where);

  /// SentencePiece's own, without a character map: bytes that are no UTF-8 become U+FFFD, spaces
  /// are spelled U+2581, and with `space_prefix` every section begins with one.
  static Normalizer sentencepiece(bool space_prefix);

  /// The normal form of one stretch of a section; what steps do at the ends of a text is done at
  /// the section's. Throws input error when the budget is spent.
  std::string apply(std::string_view text, SectionEnds ends, StepBudget& budget) const;

  bool empty() const noexcept { return steps_.empty(); }
  /// Does it put something before a section?
  bool prepends() const noexcept;

 private:
  struct Prepend {
    std::string text;
  };
  struct Strip {
    bool left = true, right = true;
  };
  enum class Simple { lowercase, strip_accents, replace_invalid };
  using Step = std::variant<Normalization, Prepend, Replacement, Strip, Simple>;

  void add_json(const Json& step, const std::string& where);

  static std::string run(Normalization form, std::string_view text, SectionEnds, StepBudget&);
  static std::string run(const Prepend& step, std::string_view text, SectionEnds ends, StepBudget&);
  static std::string run(const Replacement& step, std::string_view text, SectionEnds,
                         StepBudget& budget);
  static std::string run(const Strip& step, std::string_view text, SectionEnds ends, StepBudget&);
  static std::string run(Simple step, std::string_view text, SectionEnds, StepBudget&);

  std::vector<Step> steps_;
};

}  // namespace ktx::text
