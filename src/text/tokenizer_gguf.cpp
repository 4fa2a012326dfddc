// Reads the tokenizer.* keys of GGUF metadata.
#include <cmath>
#include <utility>

#include "core/base/error.hpp"
#include "text/fields.hpp"
#include "text/gguf_pretokenizers.hpp"
#include "text/tokenizer.hpp"
#include "text/tokenizer_json.hpp"

namespace ktx::text {

namespace {

// Values of tokenizer.ggml.token_type.
constexpr int unknown = 2, control = 3, user_defined = 4, unused = 5;

const Json& strings(const Json& metadata, const char* key, int64_t most, const std::string& where) {
  const Json& array = expect_array(required(metadata, key, where), key, where);
  expect_at_most(most, array.size(), key, where);
  for (const auto& entry : array) expect_string(entry, key, where);
  return array;
}

// The entries of token_type; normal where there are none.
std::vector<int64_t> read_types(const Json& metadata, size_t tokens, const std::string& where) {
  constexpr const char* key = "tokenizer.ggml.token_type";
  std::vector<int64_t> types(tokens, 1);
  const Json* entries = member(metadata, key);
  if (entries == nullptr) return types;
  if (expect_array(*entries, key, where).size() != tokens)
    throw_input("tokenizer.ggml.token_type has " + std::to_string(entries->size()) +
                    " entries, tokenizer.ggml.tokens " + std::to_string(tokens),
                where);
  for (size_t id = 0; id < tokens; ++id) {
    const Json& entry = (*entries)[id];
    if (!entry.is_number_integer())
      throw_input("tokenizer.ggml.token_type[" + std::to_string(id) +
                      "]: expected an integer, found " + base::dump_json(entry),
                  where);
    types[id] = entry.get<int64_t>();
  }
  return types;
}

// Returns the tokens that are not used.
std::vector<int32_t> read_tokens(const Json& metadata, TokenizerParts& parts,
                                 const std::string& where) {
  const Json& tokens = strings(metadata, "tokenizer.ggml.tokens", limits::vocabulary, where);
  const auto types = read_types(metadata, tokens.size(), where);
  if (tokens.empty()) throw_input("'tokenizer.ggml.tokens' is empty", where);
  parts.tokens.resize(tokens.size());
  std::vector<int32_t> not_used;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto& text = tokens[i].get_ref<const std::string&>();
    const auto id = static_cast<int32_t>(i);
    if (types[i] == unused) {
      not_used.push_back(id);
      continue;
    }
    const bool special = types[i] == control || types[i] == unknown;
    if ((special || types[i] == user_defined) && !text.empty()) {
      AddedToken token;
      token.id = id;
      token.content = text;
      token.special = special;
      parts.added.push_back(std::move(token));
    }
    parts.tokens[i] = text;
  }
  return not_used;
}

std::vector<float> read_scores(const Json& metadata, size_t tokens, const std::string& where) {
  constexpr const char* key = "tokenizer.ggml.scores";
  const Json& scores = expect_array(required(metadata, key, where), key, where);
  if (scores.size() != tokens)
    throw_input("tokenizer.ggml.scores has " + std::to_string(scores.size()) +
                    " entries, tokenizer.ggml.tokens " + std::to_string(tokens),
                where);
  std::vector<float> out;
  out.reserve(tokens);
  for (size_t id = 0; id < tokens; ++id) {
    if (!scores[id].is_number() || !std::isfinite(scores[id].get<float>()))
      throw_input("tokenizer.ggml.scores[" + std::to_string(id) + "]: expected a number, found " +
                      base::dump_json(scores[id]),
                  where);
    out.push_back(scores[id].get<float>());
  }
  return out;
}

void read_merges(const Json& metadata, TokenizerParts& parts, const std::string& where) {
  const Json& merges = strings(metadata, "tokenizer.ggml.merges", limits::merges, where);
  for (size_t i = 0; i < merges.size(); ++i) {
    const auto& text = merges[i].get_ref<const std::string&>();
    const size_t space = text.find(' ', 1);
    if (space == std::string::npos || space + 1 >= text.size())
      throw_input("tokenizer.ggml.merges[" + std::to_string(i) +
                      "]: expected two tokens with a space between, found '" + text + "'",
                  where);
    parts.rules.pairs.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
}

void read_ids(const Json& metadata, TokenizerParts& parts, const std::string& where) {
  const auto vocabulary = static_cast<int32_t>(parts.tokens.size());
  const auto id_at = [&](const char* key) -> std::optional<int32_t> {
    const Json* value = member(metadata, key);
    if (value == nullptr) return std::nullopt;
    return expect_id(*value, key, where, vocabulary);
  };
  parts.alphabet.unknown = id_at("tokenizer.ggml.unknown_token_id");
  parts.bos = id_at("tokenizer.ggml.bos_token_id");
  parts.eos = id_at("tokenizer.ggml.eos_token_id");
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"})
    if (const auto id = id_at(key)) parts.further_stops.push_back(*id);
}

// Byte-level BPE.
void read_gpt2(const Json& metadata, const GgufPreTokenizer& pre, TokenizerParts& parts,
               const std::string& where) {
  parts.pre_tokenizer = PreTokenizer::from_patterns(pre.patterns, where);
  parts.alphabet.byte_level = true;
  parts.decoder = Decoder::byte_level();
  parts.rules.ignore_merges = pre.ignore_merges;
  read_tokens(metadata, parts, where);
  read_merges(metadata, parts, where);
}

// SentencePiece's BPE.
void read_llama(const Json& metadata, TokenizerParts& parts, const std::string& where) {
  const bool space_prefix = flag(metadata, "tokenizer.ggml.add_space_prefix", true, where);
  parts.normalizer = Normalizer::sentencepiece(space_prefix);
  parts.decoder = Decoder::sentencepiece(space_prefix);
  parts.alphabet.byte_fallback = parts.alphabet.fuse_unknown = true;
  MergeScores scores;
  scores.split = read_tokens(metadata, parts, where);
  const Json& tokens = metadata["tokenizer.ggml.tokens"];
  for (const int32_t id : scores.split)
    parts.tokens[static_cast<size_t>(id)] = tokens[static_cast<size_t>(id)].get<std::string>();
  scores.scores = read_scores(metadata, parts.tokens.size(), where);
  parts.scores = std::move(scores);
}

// The tokenizer.json that some files carry whole, for kinds that their other keys can't tell.
const Json* embedded(const Json& metadata) {
  return member(metadata, "tokenizer.huggingface.json");
}

// Fills all but ids and template; returns whether bos is added where the file does not say.
bool read_vocabulary(const Json& metadata, TokenizerParts& parts, const std::string& where) {
  const std::string& model = expect_string(required(metadata, "tokenizer.ggml.model", where),
                                           "tokenizer.ggml.model", where);
  if (model == "llama") {
    read_llama(metadata, parts, where);
    return true;
  }
  const Json* named = member(metadata, "tokenizer.ggml.pre");
  const std::string& pre =
      named == nullptr ? "default" : expect_string(*named, "tokenizer.ggml.pre", where);
  const bool known = model == "gpt2" && find_gguf_pretokenizer(pre) != nullptr;
  if (const Json* json = embedded(metadata); json != nullptr && !known) {
    const std::string inside = where + " (tokenizer.huggingface.json)";
    parts = read_tokenizer_json(
        base::parse_json(expect_string(*json, "tokenizer.huggingface.json", where), inside),
        inside);
    return false;
  }
  if (model != "gpt2")
    throw_input("tokenizer.ggml.model: '" + model + "' is not supported", where,
                {"supported: gpt2 (byte-level BPE), llama (SentencePiece BPE)",
                 "--tokenizer PATH takes another tokenizer, such as the model's tokenizer.json"});
  const auto& row = gguf_pretokenizer(pre, where);
  read_gpt2(metadata, row, parts, where);
  return row.add_bos;
}

}  // namespace

Tokenizer Tokenizer::from_gguf(const Json& metadata, const std::string& where) {
  expect_object(metadata, "metadata", where);
  TokenizerParts parts;
  const bool adds = read_vocabulary(metadata, parts, where);
  read_ids(metadata, parts, where);
  parts.add_bos =
      flag(metadata, "tokenizer.ggml.add_bos_token", adds && parts.bos.has_value(), where);
  if (const Json* text = member(metadata, "tokenizer.chat_template"))
    parts.chat_template = expect_string(*text, "tokenizer.chat_template", where);
  return Tokenizer(std::move(parts), where);
}

}  // namespace ktx::text
