// The table of pre-tokenizers against pieces of the tokenizers library.
#include "text/gguf_pretokenizers.hpp"

#include <set>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "text/pretokenizer.hpp"
#include "text/tokenizer_data.hpp"

using namespace ktx::text;
using ktx::test::failure;

TEST_CASE("pieces are those of the tokenizers library") {
  const ktx::Json data = ktx::test::tokenizer_vectors("splits.json");
  const auto texts = data["texts"].get<std::vector<std::string>>();
  REQUIRE(data["pieces"].size() == gguf_pretokenizers().size());
  for (const auto& [name, expected] : data["pieces"].items()) {
    const auto pre = PreTokenizer::from_patterns(gguf_pretokenizer(name, "").patterns, name);
    REQUIRE(expected.size() == texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      INFO(name << ": " << texts[i]);
      std::string buffer;
      std::vector<Span> spans;
      auto budget = ktx::text::StepBudget::for_text(texts[i].size());
      pre.split(texts[i], buffer, spans, budget);
      std::vector<size_t> sizes;
      for (const auto& [begin, end] : spans) sizes.push_back(end - begin);
      CHECK(sizes == expected[i].get<std::vector<size_t>>());
    }
  }
}

TEST_CASE("every name is in one row and its patterns compile") {
  std::set<std::string> names;
  for (const auto& row : gguf_pretokenizers()) {
    REQUIRE_FALSE(row.names.empty());
    PreTokenizer::from_patterns(row.patterns, row.names[0]);
    for (const auto& name : row.names) {
      CHECK(names.insert(name).second);
      CHECK(&gguf_pretokenizer(name, "") == &row);
    }
  }
}

TEST_CASE("an unknown name is an error with the nearest") {
  const auto message = failure([] { gguf_pretokenizer("deepseek-v2", "m.gguf"); });
  INFO(message);
  CHECK(
      message.starts_with("input m.gguf: unknown pre-tokenizer 'deepseek-v2' (tokenizer.ggml.pre)\n"
                          "  note: did you mean 'deepseek-v3'"));
  CHECK(
      message.ends_with("  note: --tokenizer PATH takes another tokenizer, such as the model's "
                        "tokenizer.json"));
  CHECK(find_gguf_pretokenizer("deepseek-v2") == nullptr);
}

TEST_CASE("pre-tokenizing hostile texts takes no quadratic time") {
  for (const auto& row : gguf_pretokenizers()) {
    const auto pre = PreTokenizer::from_patterns(row.patterns, row.names[0]);
    for (const std::string unit : {"a", " ", "\n", " \n", ".", "1", "中", "\xFF", "a "}) {
      std::string text;
      while (text.size() < 200'000) text += unit;
      text += "x";
      std::string buffer;
      std::vector<Span> spans;
      auto budget = ktx::text::StepBudget::for_text(text.size());
      pre.split(text, buffer, spans, budget);
      size_t end = 0;
      for (const auto& span : spans) {
        REQUIRE(span.first == end);
        end = span.second;
      }
      CHECK(end == text.size());
    }
  }
}
