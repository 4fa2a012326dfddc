// Merging by rules.
#include "catch.hpp"
#include "core/base/failure.hpp"
#include "text/piece_encoder.hpp"

using ktx::test::failure;
using ktx::text::AlphabetKind;
using ktx::text::MergeRules;
using ktx::text::Vocabulary;

namespace {

using Ids = std::vector<int32_t>;

Ids encoded(const std::vector<std::string>& tokens, const AlphabetKind& kind,
            const MergeRules& rules, std::string_view piece, std::vector<uint8_t> special = {}) {
  Vocabulary vocabulary;
  for (const auto& token : tokens) vocabulary.tokens.emplace_back(token);
  special.resize(tokens.size());
  vocabulary.special = std::move(special);
  Ids ids{-1};  // is replaced
  encode_by_rules(vocabulary, kind, rules, "t.json")->encode(piece, ids);
  return ids;
}

}  // namespace

TEST_CASE("the first rule is applied first") {
  const std::vector<std::string> tokens{"a", "b", "é", "ab", "bé"};
  CHECK(encoded(tokens, {}, {{{"a", "b"}, {"b", "é"}}}, "abé") == Ids{3, 2});
  CHECK(encoded(tokens, {}, {{{"b", "é"}, {"a", "b"}}}, "abé") == Ids{0, 4});
  CHECK(encoded(tokens, {}, {}, "").empty());
}

TEST_CASE("whole pieces before the rules, but for special tokens") {
  const std::vector<std::string> tokens{"a", "b", "ab", "Ġ", "Ġb"};
  CHECK(encoded(tokens, {}, {{}, true}, "ab") == Ids{2});
  CHECK(encoded(tokens, {}, {{}, true}, "ab", {0, 0, 1}) == Ids{0, 1});
  CHECK(encoded(tokens, {.byte_level = true}, {{}, true}, " b") == Ids{4});
}

// Expected values: tokenizers 0.23, whose unknown tokens wait for the next known character.
TEST_CASE("unknown tokens, one for a run or one each, beside bytes") {
  const std::vector<std::string> tokens{"<unk>", "<0xC3>", "<0xA9>", "a"};
  AlphabetKind kind{.byte_fallback = true, .unknown = 0, .fuse_unknown = true};
  CHECK(encoded(tokens, kind, {}, "aéaz") == Ids{3, 1, 2, 3, 0});
  CHECK(encoded(tokens, kind, {}, "zzéa") == Ids{1, 2, 0, 3});
  CHECK(encoded(tokens, kind, {}, "zzz") == Ids{0});
  kind.fuse_unknown = false;
  CHECK(encoded(tokens, kind, {}, "zzéa") == Ids{0, 1, 2, 0, 3});
  CHECK(encoded(tokens, kind, {}, "zzz") == Ids{0, 0, 0});
}

TEST_CASE("rules of tokens that are not there are refused") {
  REQUIRE(failure([] {
            encoded({"a", "b"}, {}, {{{"a", "b"}}}, "");
          }) == "input t.json: merge 0 ('a' + 'b'): 'ab' is not in the vocabulary");
}
