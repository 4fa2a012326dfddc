// Reads the tokenizer.* keys of GGUF metadata.
#include <array>

#include "core/base/error.hpp"
#include "text/fields.hpp"
#include "text/gguf_pretokenizers.hpp"
#include "text/tokenizer.hpp"

namespace ktx::text {

namespace {

// Values of tokenizer.ggml.token_type.
constexpr int control = 3, user_defined = 4, unused = 5;

const Json& strings(const Json& metadata, const char* key, const std::string& where) {
  const Json& array = expect_array(required(metadata, key, where), key, where);
  if (array.size() > static_cast<size_t>(most_tokens))
    throw_input("'" + std::string(key) + "' has " + std::to_string(array.size()) +
                    " entries, more than " + std::to_string(most_tokens),
                where);
  for (const auto& entry : array) expect_string(entry, key, where);
  return array;
}

void read_tokens(const Json& metadata, TokenizerParts& parts, const std::string& where) {
  const Json& tokens = strings(metadata, "tokenizer.ggml.tokens", where);
  const Json* types = member(metadata, "tokenizer.ggml.token_type");
  if (types != nullptr &&
      expect_array(*types, "tokenizer.ggml.token_type", where).size() != tokens.size())
    throw_input("tokenizer.ggml.token_type has " + std::to_string(types->size()) +
                    " entries, tokenizer.ggml.tokens " + std::to_string(tokens.size()),
                where);
  if (tokens.empty()) throw_input("'tokenizer.ggml.tokens' is empty", where);
  parts.tokens.resize(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    const auto& text = tokens[id].get_ref<const std::string&>();
    const Json* type = types == nullptr ? nullptr : &(*types)[id];
    if (type != nullptr && !type->is_number_integer())
      throw_input("tokenizer.ggml.token_type[" + std::to_string(id) +
                      "]: expected an integer, found " + base::dump_json(*type),
                  where);
    const auto kind = type == nullptr ? 1 : type->get<int64_t>();
    if (kind == unused) continue;
    if ((kind == control || kind == user_defined) && !text.empty()) {
      AddedToken token;
      token.id = static_cast<int32_t>(id);
      token.content = text;
      token.special = kind == control;
      parts.added.push_back(std::move(token));
    }
    parts.tokens[id] = text;
  }
}

void read_merges(const Json& metadata, TokenizerParts& parts, const std::string& where) {
  const Json& merges = strings(metadata, "tokenizer.ggml.merges", where);
  for (size_t i = 0; i < merges.size(); ++i) {
    const auto& text = merges[i].get_ref<const std::string&>();
    const size_t space = text.find(' ', 1);
    if (space == std::string::npos || space + 1 >= text.size())
      throw_input("tokenizer.ggml.merges[" + std::to_string(i) +
                      "]: expected two tokens with a space between, found '" + text + "'",
                  where);
    parts.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
}

void read_ids(const Json& metadata, TokenizerParts& parts, const std::string& where) {
  const auto vocabulary = static_cast<int32_t>(parts.tokens.size());
  const auto id_at = [&](const char* key) -> std::optional<int32_t> {
    const Json* value = member(metadata, key);
    if (value == nullptr) return std::nullopt;
    return expect_id(*value, key, where, vocabulary);
  };
  parts.unknown = id_at("tokenizer.ggml.unknown_token_id");
  parts.bos = id_at("tokenizer.ggml.bos_token_id");
  parts.eos = id_at("tokenizer.ggml.eos_token_id");
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"})
    if (const auto id = id_at(key)) parts.further_stops.push_back(*id);
}

}  // namespace

Tokenizer Tokenizer::from_gguf(const Json& metadata, const std::string& where) {
  expect_object(metadata, "metadata", where);
  const std::string& model = expect_string(required(metadata, "tokenizer.ggml.model", where),
                                           "tokenizer.ggml.model", where);
  if (model != "gpt2")
    throw_input("tokenizer.ggml.model: '" + model + "' is not supported", where,
                {"supported: gpt2 (byte-level BPE)"});
  const Json* named = member(metadata, "tokenizer.ggml.pre");
  const auto& pre = gguf_pretokenizer(
      named == nullptr ? "default" : expect_string(*named, "tokenizer.ggml.pre", where), where);
  TokenizerParts parts;
  parts.pre_tokenizer = PreTokenizer::from_patterns(pre.patterns, where);
  parts.ignore_merges = pre.ignore_merges;
  read_tokens(metadata, parts, where);
  read_merges(metadata, parts, where);
  read_ids(metadata, parts, where);
  const bool adds = pre.add_bos && parts.bos.has_value();
  parts.add_bos = flag(metadata, "tokenizer.ggml.add_bos_token", adds, where);
  if (const Json* text = member(metadata, "tokenizer.chat_template"))
    parts.chat_template = expect_string(*text, "tokenizer.chat_template", where);
  return Tokenizer(std::move(parts), where);
}

}  // namespace ktx::text
