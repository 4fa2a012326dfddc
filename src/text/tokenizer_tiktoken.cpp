// Reads tiktoken.model, Kimi's vocabulary.
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>

#include "core/base/base64.hpp"
#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "text/byte_alphabet.hpp"
#include "text/fields.hpp"
#include "text/gguf_pretokenizers.hpp"
#include "text/tokenizer.hpp"
#include "text/tokenizer_json.hpp"

namespace ktx::text {

namespace {

// The file does not say how text is cut: that stands in the Python code beside it, by this name.
constexpr const char* kimi_class = "TikTokenTokenizer";
constexpr size_t reserved_tokens = 258;  // ids for special tokens, named by the config or not

// A line is a token in base 64 and its rank, which is its id.
void read_line(std::string_view line, size_t number, TokenTexts& tokens, const std::string& where) {
  const size_t space = line.find(' ');
  const auto bytes = base::from_base64(line.substr(0, space));
  size_t rank = 0;
  bool good = space != std::string_view::npos && bytes && !bytes->empty();
  if (good) {
    const char* end = line.data() + line.size();
    const auto read = std::from_chars(line.data() + space + 1, end, rank);
    good =
        read.ec == std::errc{} && read.ptr == end && rank < static_cast<size_t>(limits::vocabulary);
  }
  if (!good)
    throw_input("line " + std::to_string(number) +
                    ": expected a token in base 64, a space and its rank, found '" +
                    base::shortened(line, 80) + "'",
                where);
  if (rank >= tokens.size()) tokens.resize(rank + 1);
  if (tokens[rank])
    throw_input(
        "line " + std::to_string(number) + ": rank " + std::to_string(rank) + " occurs twice",
        where);
  tokens[rank] = to_byte_alphabet(*bytes);
}

TokenTexts read_ranks(std::string_view text, const std::string& where) {
  TokenTexts tokens;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) read_line(line, number, tokens, where);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  for (size_t rank = 0; rank < tokens.size(); ++rank)
    if (!tokens[rank]) throw_input("rank " + std::to_string(rank) + " is missing", where);
  if (tokens.empty()) throw_input("the vocabulary is empty", where);
  return tokens;
}

// The special tokens, by their ids from `first` on; those without a name are reserved.
std::vector<AddedToken> read_special(const Json& config, size_t first, const std::string& where) {
  std::vector<AddedToken> tokens;
  for (size_t i = 0; i < reserved_tokens; ++i) {
    AddedToken token;
    token.id = static_cast<int32_t>(first + i);
    token.content = "<|reserved_token_" + std::to_string(token.id) + "|>";
    token.special = true;
    tokens.push_back(std::move(token));
  }
  const Json* named = member(config, "added_tokens_decoder");
  if (named == nullptr) return tokens;
  for (const auto& [key, entry] : expect_object(*named, "added_tokens_decoder", where).items()) {
    size_t id = 0;
    const char* end = key.data() + key.size();
    const auto read = std::from_chars(key.data(), end, id);
    if (read.ec != std::errc{} || read.ptr != end || id < first || id - first >= reserved_tokens)
      throw_input("added_tokens_decoder: expected an id from " + std::to_string(first) + " to " +
                      std::to_string(first + reserved_tokens - 1) + ", found '" + key + "'",
                  where);
    expect_object(entry, "added_tokens_decoder", where);
    AddedToken& token = tokens[id - first];
    token.content = expect_string(required(entry, "content", where), "content", where);
    token.special = flag(entry, "special", true, where);
  }
  return tokens;
}

}  // namespace

Tokenizer Tokenizer::from_tiktoken(std::string_view ranks, const Json& tokenizer_config,
                                   const std::string& where) {
  const std::string config_file =
      std::filesystem::path(where).replace_filename("tokenizer_config.json").string();
  expect_object(tokenizer_config, "tokenizer_config.json", config_file);
  const std::string& kind = expect_string(
      required(tokenizer_config, "tokenizer_class", config_file), "tokenizer_class", config_file);
  if (kind != kimi_class)
    throw_input("tiktoken.model with tokenizer_class '" + kind + "' is not supported", config_file,
                {std::string("supported: ") + kimi_class + ", Kimi's"});
  TokenizerParts parts;
  parts.tokens = read_ranks(ranks, where);
  parts.added = read_special(tokenizer_config, parts.tokens.size(), config_file);
  MergeScores scores;
  scores.whole_pieces = true;
  for (size_t rank = 0; rank < parts.tokens.size() + reserved_tokens; ++rank)
    scores.scores.push_back(-static_cast<float>(rank));
  parts.scores = std::move(scores);
  parts.alphabet.byte_level = true;
  parts.pre_tokenizer =
      PreTokenizer::from_patterns(gguf_pretokenizer("kimi-k2", where).patterns, where);
  parts.decoder = Decoder::byte_level();
  for (const auto& token : parts.added) parts.tokens.resize(static_cast<size_t>(token.id) + 1);
  for (const auto& token : parts.added) parts.tokens[static_cast<size_t>(token.id)] = token.content;
  read_tokenizer_config(tokenizer_config, Json::object(), parts, config_file);
  return Tokenizer(std::move(parts), where);
}

}  // namespace ktx::text
