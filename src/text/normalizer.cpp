// The steps of a normalizer: reading them and running them.
#include "text/normalizer.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "text/fields.hpp"

namespace ktx::text {

namespace {

constexpr const char* working = "normalising the text";

struct FormName {
  std::string_view type;
  Normalization form;
};
constexpr std::array<FormName, 4> form_names{{
    {"NFC", Normalization::nfc},
    {"NFD", Normalization::nfd},
    {"NFKC", Normalization::nfkc},
    {"NFKD", Normalization::nfkd},
}};

// Calls do_character(bytes, codepoint) for each valid character; what is none stays as it is.
template <class DoCharacter>
std::string each_character(std::string_view text, std::string& out, DoCharacter do_character) {
  while (!text.empty()) {
    const auto step = utf8_step(text);
    const auto bytes = text.substr(0, step.size);
    if (step.kind == Utf8Step::valid)
      do_character(bytes, step.codepoint);
    else
      out += bytes;
    text.remove_prefix(step.size);
  }
  return out;
}

// As SentencePiece does: a replacement for each byte.
std::string without_invalid(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t valid = valid_prefix(text);
    out += text.substr(0, valid);
    text.remove_prefix(valid);
    const size_t invalid = invalid_prefix(text);
    for (size_t i = 0; i < invalid; ++i) append_utf8(out, 0xFFFD);
    text.remove_prefix(invalid);
  }
  return out;
}

size_t leading_space(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const auto step = utf8_step(text.substr(at));
    if (step.kind != Utf8Step::valid || !is_space(step.codepoint)) break;
    at += step.size;
  }
  return at;
}

// Where white space at the end begins.
size_t trailing_space(std::string_view text) {
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const auto step = utf8_step(text.substr(at));
    at += step.size;
    if (step.kind != Utf8Step::valid || !is_space(step.codepoint)) begin = at;
  }
  return begin;
}

}  // namespace

Normalizer Normalizer::from_json(const Json& normalizer, const std::string& where) {
  Normalizer made;
  if (!normalizer.is_null()) made.add_json(normalizer, where);
  return made;
}

Normalizer Normalizer::sentencepiece(bool space_prefix) {
  Normalizer made;
  made.steps_.emplace_back(Simple::replace_invalid);
  if (space_prefix) made.steps_.emplace_back(Prepend{space_mark});
  made.steps_.emplace_back(Replacement(" ", space_mark));
  return made;
}

void Normalizer::add_json(const Json& step, const std::string& where) {
  expect_object(step, "normalizer", where);
  const std::string& type = expect_string(required(step, "type", where), "type", where);
  if (type == "Sequence") {
    for (const auto& s : expect_array(required(step, "normalizers", where), "normalizers", where))
      add_json(s, where);
    return;
  }
  for (const auto& [name, form] : form_names)
    if (name == type) {
      steps_.emplace_back(form);
      return;
    }
  if (type == "Prepend") {
    steps_.emplace_back(Prepend{expect_string(required(step, "prepend", where), "prepend", where)});
  } else if (type == "Replace") {
    steps_.emplace_back(Replacement::from_json(step, where));
  } else if (type == "Strip") {
    steps_.emplace_back(
        Strip{flag(step, "strip_left", true, where), flag(step, "strip_right", true, where)});
  } else if (type == "Lowercase") {
    steps_.emplace_back(Simple::lowercase);
  } else if (type == "StripAccents") {
    steps_.emplace_back(Simple::strip_accents);
  } else {
    throw_input("normalizer of type '" + type + "' is not supported", where,
                base::suggestions(type,
                                  {"Sequence", "NFC", "NFD", "NFKC", "NFKD", "Prepend", "Replace",
                                   "Strip", "Lowercase", "StripAccents"},
                                  "types"));
  }
}

bool Normalizer::prepends() const noexcept {
  return std::ranges::any_of(
      steps_, [](const Step& step) { return std::holds_alternative<Prepend>(step); });
}

std::string Normalizer::apply(std::string_view text, SectionEnds ends, StepBudget& budget) const {
  constexpr uint64_t steps_per_byte = 3;
  std::string normal(text);
  for (const auto& step : steps_) {
    budget.pay(steps_per_byte * normal.size(), working);
    normal = std::visit([&](const auto& s) { return run(s, normal, ends, budget); }, step);
  }
  return normal;
}

std::string Normalizer::run(Normalization form, std::string_view text, SectionEnds, StepBudget&) {
  return normalize(text, form);
}

std::string Normalizer::run(const Prepend& step, std::string_view text, SectionEnds ends,
                            StepBudget&) {
  return ends.first && !text.empty() ? step.text + std::string(text) : std::string(text);
}

std::string Normalizer::run(const Replacement& step, std::string_view text, SectionEnds,
                            StepBudget& budget) {
  return step.apply(text, budget);
}

std::string Normalizer::run(const Strip& step, std::string_view text, SectionEnds ends,
                            StepBudget&) {
  if (step.left && ends.first) text.remove_prefix(leading_space(text));
  if (step.right && ends.last) text = text.substr(0, trailing_space(text));
  return std::string(text);
}

std::string Normalizer::run(Simple step, std::string_view text, SectionEnds, StepBudget&) {
  std::string out;
  switch (step) {
    case Simple::lowercase:
      return each_character(text, out, [&](std::string_view, char32_t c) { append_lower(out, c); });
    case Simple::strip_accents:
      return each_character(text, out, [&](std::string_view bytes, char32_t c) {
        if (!is_mark(c)) out += bytes;
      });
    case Simple::replace_invalid:
      return without_invalid(text);
  }
  return out;
}

}  // namespace ktx::text
