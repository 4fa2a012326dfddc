// The steps of a pre-tokenizer: reading them and running them.
#include "text/pretokenizer.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "text/byte_alphabet.hpp"
#include "text/fields.hpp"
#include "text/gguf_pretokenizers.hpp"
#include "text/oniguruma.hpp"
#include "text/unicode.hpp"

namespace ktx::text {

namespace {

struct BehaviorName {
  std::string_view name;
  SplitBehavior behavior;
};
constexpr std::array<BehaviorName, 5> behaviors{{
    {"Removed", SplitBehavior::removed},
    {"Isolated", SplitBehavior::isolated},
    {"MergedWithPrevious", SplitBehavior::merged_with_previous},
    {"MergedWithNext", SplitBehavior::merged_with_next},
    {"Contiguous", SplitBehavior::contiguous},
}};

SplitBehavior behavior_of(const std::string& name, const std::string& where) {
  std::vector<std::string> names;
  for (const auto& b : behaviors) {
    if (b.name == name) return b.behavior;
    names.emplace_back(b.name);
  }
  throw_input("pre_tokenizer Split: unknown behavior '" + name + "'", where,
              base::suggestions(name, names, "behaviors"));
}

struct Part {
  Span span;
  bool match = false;
};

// Adds part i to a piece before it when `joins`, else begins a piece with it.
template <class Joins>
void join(const std::vector<Part>& parts, std::vector<Span>& pieces, Joins joins) {
  const size_t first = pieces.size();
  bool previous = false;  // was the part before this one a match
  for (const auto& part : parts) {
    if (joins(part.match, previous) && pieces.size() > first)
      pieces.back().second = part.span.second;
    else
      pieces.push_back(part.span);
    previous = part.match;
  }
}

// Appends the parts to the pieces as the behavior says.
void settle(const std::vector<Part>& parts, SplitBehavior behavior, std::vector<Span>& pieces) {
  switch (behavior) {
    case SplitBehavior::removed:
      for (const auto& part : parts)
        if (!part.match) pieces.push_back(part.span);
      break;
    case SplitBehavior::isolated:
      for (const auto& part : parts) pieces.push_back(part.span);
      break;
    case SplitBehavior::contiguous:
      join(parts, pieces, [](bool match, bool previous) { return match == previous; });
      break;
    case SplitBehavior::merged_with_previous:
      join(parts, pieces, [](bool match, bool previous) { return match && !previous; });
      break;
    case SplitBehavior::merged_with_next: {
      std::vector<Span> backwards;
      bool later = false;  // was the part after this one a match
      for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
        if (part->match && !later && !backwards.empty())
          backwards.back().first = part->span.first;
        else
          backwards.push_back(part->span);
        later = part->match;
      }
      pieces.insert(pieces.end(), backwards.rbegin(), backwards.rend());
    }
  }
}

// \s+$ tries every white space of a long run that isn't at a line's end: quadratic. A match can
// only begin where a run does, since the first match in a run is the longest.
std::string without_quadratic(std::string pattern) {
  return pattern == "\\s+$" ? "(?<!\\s)\\s+$" : pattern;
}

}  // namespace

PreTokenizer PreTokenizer::from_json(const Json& pre_tokenizer, const std::string& where) {
  PreTokenizer made;
  if (!pre_tokenizer.is_null()) made.add_json(pre_tokenizer, where);
  return made;
}

PreTokenizer PreTokenizer::from_patterns(const std::vector<std::string>& patterns,
                                         const std::string& where) {
  PreTokenizer made;
  for (const auto& pattern : patterns)
    made.steps_.push_back(Split{
        Regex(from_oniguruma(without_quadratic(pattern), where), where, {.multiline = true})});
  made.byte_level_ = true;
  return made;
}

void PreTokenizer::add_json(const Json& step, const std::string& where) {
  expect_object(step, "pre_tokenizer", where);
  const std::string& type = expect_string(required(step, "type", where), "type", where);
  if (type == "Sequence") {
    for (const auto& s :
         expect_array(required(step, "pretokenizers", where), "pretokenizers", where))
      add_json(s, where);
    return;
  }
  if (byte_level_) {
    steps_.emplace_back(Change(ByteAlphabet{}));
    byte_level_ = false;
  }
  if (type == "Split") {
    add_split(step, where);
  } else if (type == "ByteLevel") {
    if (flag(step, "add_prefix_space", true, where)) steps_.emplace_back(Change(PrefixSpace{}));
    if (flag(step, "use_regex", true, where))
      add_pattern(from_oniguruma(gpt2_pattern, where), SplitBehavior::isolated);
    byte_level_ = true;
  } else if (type == "Metaspace") {
    const Metaspace metaspace = read_metaspace(step, where);
    steps_.emplace_back(Change(metaspace));
    if (metaspace.split) add_pattern(escape_regex(metaspace.mark), SplitBehavior::merged_with_next);
  } else if (!add_simple(type, step, where)) {
    throw_input("pre_tokenizer of type '" + type + "' is not supported", where,
                base::suggestions(
                    type,
                    {"Sequence", "Split", "ByteLevel", "Metaspace", "Digits", "Whitespace",
                     "WhitespaceSplit", "Punctuation", "CharDelimiterSplit", "BertPreTokenizer"},
                    "types"));
  }
}

// The types that are a pattern with another name.
bool PreTokenizer::add_simple(const std::string& type, const Json& step, const std::string& where) {
  constexpr const char* space = R"([\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029})"
                                R"(\x{202F}\x{205F}\x{3000}]+)";
  constexpr const char* punctuation = R"([!-/:-@\[-`{-~\p{P}])";
  if (type == "Digits") {
    const bool each = flag(step, "individual_digits", false, where);
    add_pattern(each ? "\\p{N}" : "\\p{N}+", SplitBehavior::isolated);
  } else if (type == "Whitespace") {
    const std::string word = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D})";
    add_pattern("[" + word + "]+|[^" + word + std::string(space).substr(1), SplitBehavior::removed,
                true);
  } else if (type == "WhitespaceSplit") {
    add_pattern(space, SplitBehavior::removed);
  } else if (type == "Punctuation") {
    const Json* behavior = member(step, "behavior");
    add_pattern(punctuation, behavior == nullptr
                                 ? SplitBehavior::isolated
                                 : behavior_of(expect_string(*behavior, "behavior", where), where));
  } else if (type == "CharDelimiterSplit") {
    const std::string& delimiter =
        expect_string(required(step, "delimiter", where), "delimiter", where);
    add_pattern(escape_regex(delimiter), SplitBehavior::removed);
  } else if (type == "BertPreTokenizer") {
    add_pattern(space, SplitBehavior::removed);
    add_pattern(punctuation, SplitBehavior::isolated);
  } else {
    return false;
  }
  return true;
}

void PreTokenizer::add_pattern(std::string_view pattern, SplitBehavior behavior, bool invert) {
  steps_.push_back(Split{Regex(std::string(pattern)), behavior, invert});
}

void PreTokenizer::add_split(const Json& step, const std::string& where) {
  const Json& pattern = expect_object(required(step, "pattern", where), "pattern", where);
  const Json* regex = member(pattern, "Regex");
  std::string text =
      regex != nullptr
          ? from_oniguruma(without_quadratic(expect_string(*regex, "Regex", where)), where)
          : escape_regex(expect_string(required(pattern, "String", where), "String", where));
  const auto behavior =
      behavior_of(expect_string(required(step, "behavior", where), "behavior", where), where);
  steps_.push_back(Split{Regex(std::move(text), where, {.multiline = true}), behavior,
                         flag(step, "invert", false, where)});
}

bool PreTokenizer::prepends() const noexcept {
  return std::ranges::any_of(steps_, [](const Step& step) {
    const auto* change = std::get_if<Change>(&step);
    const auto* metaspace = change == nullptr ? nullptr : std::get_if<Metaspace>(change);
    return metaspace != nullptr && metaspace->prefix != Metaspace::never;
  });
}

std::string_view PreTokenizer::split(std::string_view text, std::string& buffer,
                                     std::vector<Span>& pieces, StepBudget& budget,
                                     bool begins) const {
  for (size_t at = 0; at < text.size();) {
    const size_t valid = valid_prefix(text.substr(at));
    if (valid > 0) pieces.emplace_back(at, at + valid);
    at += valid;
    const size_t invalid = invalid_prefix(text.substr(at));
    if (invalid > 0) pieces.emplace_back(at, at + invalid);
    at += invalid;
  }
  for (const auto& step : steps_) {
    budget.pay(text.size(), "cutting the text into pieces");
    if (const auto* cut = std::get_if<Split>(&step))
      apply(*cut, text, pieces, budget);
    else
      text = buffer = apply(std::get<Change>(step), text, pieces, begins);
  }
  return text;
}

void PreTokenizer::apply(const Split& split, std::string_view text, std::vector<Span>& pieces,
                         StepBudget& budget) {
  std::vector<Span> cut, matches;
  std::vector<Part> parts;
  cut.reserve(pieces.size());
  Regex::Matcher matcher(split.regex, budget);
  for (const auto& [begin, end] : pieces) {
    matches.clear();
    parts.clear();
    matcher.find_all(text.substr(begin, end - begin), matches);
    size_t at = begin;
    for (const auto& m : matches) {
      if (begin + m.first > at) parts.push_back({{at, begin + m.first}, split.invert});
      parts.push_back({{begin + m.first, begin + m.second}, !split.invert});
      at = begin + m.second;
    }
    if (at < end) parts.push_back({{at, end}, split.invert});
    settle(parts, split.behavior, cut);
  }
  std::erase_if(cut, [](const Span& piece) { return piece.first == piece.second; });
  pieces = std::move(cut);
}

std::string PreTokenizer::apply(const Change& change, std::string_view text,
                                std::vector<Span>& pieces, bool begins) {
  std::string out;
  for (auto& [begin, end] : pieces) {
    const auto piece = text.substr(begin, end - begin);
    const bool first = begins && begin == 0;
    begin = out.size();
    out += std::visit([&](const auto& c) { return changed(c, piece, first); }, change);
    end = out.size();
  }
  return out;
}

std::string PreTokenizer::changed(PrefixSpace, std::string_view piece, bool) {
  return (piece.starts_with(' ') ? "" : " ") + std::string(piece);
}

std::string PreTokenizer::changed(ByteAlphabet, std::string_view piece, bool) {
  return to_byte_alphabet(piece);
}

std::string PreTokenizer::changed(const Metaspace& metaspace, std::string_view piece, bool begins) {
  std::string out;
  for (const char c : piece)
    if (c == ' ')
      out += metaspace.mark;
    else
      out += c;
  const bool prefix =
      metaspace.prefix == Metaspace::always || (metaspace.prefix == Metaspace::first && begins);
  return prefix && !out.starts_with(metaspace.mark) ? metaspace.mark + out : out;
}

}  // namespace ktx::text
