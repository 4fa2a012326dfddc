// The steps of a pre-tokenizer: reading them and running them.
#include "text/pretokenizer.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
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
  if (!made.byte_level_)
    throw_input("pre_tokenizer: expected a ByteLevel step, found none", where,
                {"only byte-level BPE tokenizers are supported"});
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
  if (byte_level_)
    throw_input("pre_tokenizer: expected nothing after ByteLevel, found " + type, where);
  if (type == "Split") {
    add_split(step, where);
  } else if (type == "Digits") {
    const bool each = flag(step, "individual_digits", false, where);
    steps_.push_back(Split{Regex(each ? "\\p{N}" : "\\p{N}+", where)});
  } else if (type == "ByteLevel") {
    if (flag(step, "add_prefix_space", true, where)) steps_.push_back(PrefixSpace{});
    if (flag(step, "use_regex", true, where))
      steps_.push_back(Split{Regex(from_oniguruma(gpt2_pattern, where), where)});
    byte_level_ = true;
  } else {
    throw_input("pre_tokenizer of type '" + type + "' is not supported", where,
                base::suggestions(type, {"Sequence", "Split", "Digits", "ByteLevel"}, "types"));
  }
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

std::string_view PreTokenizer::split(std::string_view text, std::string& buffer,
                                     std::vector<Span>& pieces, StepBudget& budget) const {
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
    if (const auto* s = std::get_if<Split>(&step))
      apply(*s, text, pieces, budget);
    else
      text = apply(PrefixSpace{}, text, buffer, pieces);
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

std::string_view PreTokenizer::apply(PrefixSpace, std::string_view text, std::string& buffer,
                                     std::vector<Span>& pieces) {
  std::string spaced;
  spaced.reserve(text.size() + pieces.size());
  for (auto& piece : pieces) {
    const size_t begin = spaced.size();
    if (text[piece.first] != ' ') spaced += ' ';
    spaced += text.substr(piece.first, piece.second - piece.first);
    piece = {begin, spaced.size()};
  }
  buffer = std::move(spaced);
  return buffer;
}

}  // namespace ktx::text
