// Each step of a normalizer, and what it does at the ends of sections.
// covers: replacement
#include "text/normalizer.hpp"

#include "catch.hpp"
#include "core/base/failure.hpp"

using ktx::Json;
using ktx::test::failure;
using ktx::text::Normalizer;
using ktx::text::SectionEnds;
using ktx::text::StepBudget;

namespace {

std::string applied(const Normalizer& normalizer, std::string_view text, SectionEnds ends = {}) {
  auto budget = StepBudget::for_text(text.size());
  return normalizer.apply(text, ends, budget);
}

std::string applied(const Json& step, std::string_view text, SectionEnds ends = {}) {
  return applied(Normalizer::from_json(step, "t.json"), text, ends);
}

Json replace(const char* kind, const char* pattern, const char* content) {
  Json step{{"type", "Replace"}, {"content", content}};
  step["pattern"] = {{kind, pattern}};
  return step;
}

constexpr SectionEnds inside{.first = false, .last = false};

}  // namespace

TEST_CASE("steps of a normalizer") {
  CHECK(applied({{"type", "NFC"}}, "e\u0301") == "\u00e9");
  CHECK(applied({{"type", "Lowercase"}}, "ÀB İ ẞ Σ \xFF") == "àb i\u0307 ß σ \xFF");
  CHECK(applied({{"type", "StripAccents"}}, "e\u0301\u20DDx") == "ex");
  CHECK(applied(replace("String", "a.", "-"), "a.ab a.a.") == "-ab --");
  CHECK(applied(replace("Regex", "a.", "$0"), "a.ab\na") == "$0$0\na");
  CHECK(applied(replace("Regex", "x*", "-"), "axb") == "-a-b-");
  Json sequence{{"type", "Sequence"}};
  sequence["normalizers"] = Json::array({replace("String", "a", "b"), replace("String", "b", "c")});
  CHECK(applied(sequence, "ab") == "cc");
  CHECK(applied(nullptr, "ab") == "ab");
  CHECK(Normalizer::from_json(nullptr, "").empty());
}

TEST_CASE("what is done at the ends of a section") {
  const Json prepend{{"type", "Prepend"}, {"prepend", "▁"}};
  CHECK(applied(prepend, "a") == "▁a");
  CHECK(applied(prepend, "▁a") == "▁▁a");
  CHECK(applied(prepend, "") == "");
  CHECK(applied(prepend, "a", inside) == "a");
  CHECK(Normalizer::from_json(prepend, "").prepends());
  CHECK_FALSE(Normalizer::from_json({{"type", "NFC"}}, "").prepends());

  const Json strip{{"type", "Strip"}};
  CHECK(applied(strip, " \u3000a b\n ") == "a b");
  CHECK(applied(strip, " \n ") == "");
  CHECK(applied(strip, " a ", inside) == " a ");
  CHECK(applied(strip, " a ", {.first = true, .last = false}) == "a ");
  CHECK(applied({{"type", "Strip"}, {"strip_left", false}}, " a ") == " a");
  CHECK(applied({{"type", "Strip"}, {"strip_right", false}}, " a ") == "a ");
}

TEST_CASE("SentencePiece's own normalizer") {
  CHECK(applied(Normalizer::sentencepiece(true), " a b") == "▁▁a▁b");
  CHECK(applied(Normalizer::sentencepiece(false), "a\n b") == "a\n▁b");
  CHECK(applied(Normalizer::sentencepiece(false), "\xFF\xE4\xB8x") == "\uFFFD\uFFFD\uFFFDx");
}

TEST_CASE("what a replacement makes is paid for") {
  Json sequence{{"type", "Sequence"}, {"normalizers", Json::array()}};
  for (int i = 0; i < 40; ++i) sequence["normalizers"].push_back(replace("String", "a", "aa"));
  CHECK(failure([&] { applied(sequence, "a"); }).ends_with("takes more than 1000100 steps"));
  const std::string much(100'000, 'b');
  CHECK(failure([&] { applied(replace("String", "a", much.c_str()), std::string(1000, 'a')); }) ==
        "input replacing parts of the text takes more than 1100000 steps");
}

TEST_CASE("normalizers that are malformed or not supported") {
  CHECK(failure([] {
          applied({{"type", "Precompiled"}}, "");
        }).starts_with("input t.json: normalizer of type 'Precompiled' is not supported"));
  for (const char* text : {"1", "{}", R"({"type":"Prepend"})", R"({"type":"Replace"})",
                           R"({"type":"Replace","pattern":{"String":""},"content":"a"})",
                           R"({"type":"Replace","pattern":{"Regex":"("},"content":"a"})",
                           R"({"type":"Replace","pattern":{"String":"a"}})",
                           R"({"type":"Strip","strip_left":1})", R"({"type":"Sequence"})"}) {
    INFO(text);
    const Json step = ktx::base::parse_json(text, "x");
    CHECK(failure([&] { applied(step, ""); }).starts_with("input t.json: "));
  }
}
