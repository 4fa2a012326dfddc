// Reads tokenizer.json and tokenizer_config.json.
#include "text/tokenizer_json.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "text/fields.hpp"
#include "text/tokenizer.hpp"

namespace ktx::text {

namespace {

void refuse_other_models(const Json& model, const std::string& where) {
  const Json* type = member(model, "type");  // very old files have none
  if (type != nullptr && expect_string(*type, "model.type", where) != "BPE")
    throw_input("tokenizer model of type '" + type->get<std::string>() + "' is not supported",
                where, {"supported: BPE"});
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json* value = member(model, name);
    if (value != nullptr && !expect_string(*value, name, where).empty())
      throw_input("tokenizer model with '" + std::string(name) + "' is not supported", where);
  }
  const Json* dropout = member(model, "dropout");
  if (dropout != nullptr && !(dropout->is_number() && dropout->get<double>() == 0))
    throw_input("tokenizer model with 'dropout' is not supported", where);
}

void read_vocabulary(const Json& model, TokenizerParts& parts, const std::string& where) {
  const Json& vocab = expect_object(required(model, "vocab", where), "model.vocab", where);
  for (const auto& [text, id_json] : vocab.items()) {
    const auto id = static_cast<size_t>(expect_id(id_json, "model.vocab", where));
    if (id >= parts.tokens.size()) parts.tokens.resize(std::max(id + 1, vocab.size()));
    if (parts.tokens[id])
      throw_input("model.vocab: id " + std::to_string(id) + " is both '" + *parts.tokens[id] +
                      "' and '" + text + "'",
                  where);
    parts.tokens[id] = text;
  }
  while (!parts.tokens.empty() && !parts.tokens.back()) parts.tokens.pop_back();
}

// A merge is "a b" or, in newer files, ["a", "b"].
std::pair<std::string, std::string> read_merge(const Json& merge, size_t index,
                                               const std::string& where) {
  if (merge.is_string()) {
    const auto& text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && space > 0 && space + 1 < text.size() &&
        text.find(' ', space + 1) == std::string::npos)
      return {text.substr(0, space), text.substr(space + 1)};
  } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
             merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  throw_input("model.merges[" + std::to_string(index) +
                  "]: expected \"a b\" or [\"a\", \"b\"], found " + base::dump_json(merge),
              where);
}

void read_added(const Json& tokens, TokenizerParts& parts, const std::string& where) {
  for (const auto& t : expect_array(tokens, "added_tokens", where)) {
    expect_object(t, "added_tokens", where);
    AddedToken token;
    token.id = expect_id(required(t, "id", where), "added_tokens id", where);
    token.content = expect_string(required(t, "content", where), "content", where);
    token.special = flag(t, "special", false, where);
    token.single_word = flag(t, "single_word", false, where);
    token.lstrip = flag(t, "lstrip", false, where);
    token.rstrip = flag(t, "rstrip", false, where);
    token.normalized = flag(t, "normalized", !token.special, where);
    parts.added.push_back(std::move(token));
  }
}

// A token of tokenizer_config.json: its text, or an object with `content`.
std::optional<int32_t> config_token(const Json& config, const char* name,
                                    const TokenizerParts& parts, const std::string& where) {
  const Json* value = member(config, name);
  if (value != nullptr && value->is_object()) value = member(*value, "content");
  if (value == nullptr) return std::nullopt;
  const std::string& text = expect_string(*value, name, where);
  for (const auto& token : parts.added)
    if (token.content == text) return token.id;
  for (size_t id = 0; id < parts.tokens.size(); ++id)
    if (parts.tokens[id] == text) return static_cast<int32_t>(id);
  throw_input(std::string(name) + " '" + text + "' is not in the vocabulary", where);
}

// The template's text, or of several the one named "default".
std::optional<std::string> config_template(const Json& config, const std::string& where) {
  const Json* value = member(config, "chat_template");
  if (value == nullptr) return std::nullopt;
  if (!value->is_array()) return expect_string(*value, "chat_template", where);
  for (const auto& entry : *value) {
    expect_object(entry, "chat_template", where);
    const Json* name = member(entry, "name");
    if (name != nullptr && *name == "default")
      return expect_string(required(entry, "template", where), "template", where);
  }
  return std::nullopt;
}

// Does the post-processor put `bos` before a single text, as Llama-3's does?
bool processor_adds(const Json& processor, const std::string& bos) {
  if (!processor.is_object()) return false;
  if (const Json* all = member(processor, "processors"); all != nullptr && all->is_array())
    return std::any_of(all->begin(), all->end(),
                       [&](const Json& p) { return processor_adds(p, bos); });
  const Json* single = member(processor, "single");
  if (single == nullptr || !single->is_array() || single->empty()) return false;
  const Json& first = single->front();
  const Json* special = first.is_object() ? member(first, "SpecialToken") : nullptr;
  const Json* id = special != nullptr && special->is_object() ? member(*special, "id") : nullptr;
  return id != nullptr && *id == bos;
}

// What the file's own decoder does or, when it has none, what its spelling of the tokens asks for.
Decoder read_decoder(const Json& tokenizer, const TokenizerParts& parts, const std::string& where) {
  if (const Json* decoder = member(tokenizer, "decoder"))
    return Decoder::from_json(*decoder, where);
  if (parts.alphabet.byte_level) return Decoder::byte_level();
  if (parts.alphabet.byte_fallback)
    return Decoder::sentencepiece(parts.normalizer.prepends() || parts.pre_tokenizer.prepends());
  throw_input("'decoder' is missing, and the vocabulary spells no bytes", where);
}

void read_model(const Json& model, TokenizerParts& parts, const std::string& where) {
  refuse_other_models(model, where);
  read_vocabulary(model, parts, where);
  const Json& merges = expect_array(required(model, "merges", where), "model.merges", where);
  expect_at_most(limits::merges, merges.size(), "model.merges", where);
  parts.rules.pairs.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i)
    parts.rules.pairs.push_back(read_merge(merges[i], i, where));
  parts.rules.ignore_merges = flag(model, "ignore_merges", false, where);
  parts.alphabet.byte_fallback = flag(model, "byte_fallback", false, where);
  parts.alphabet.fuse_unknown = flag(model, "fuse_unk", false, where);
}

// Added tokens are part of the vocabulary by now.
void read_unknown(const Json& model, TokenizerParts& parts, const std::string& where) {
  const Json* unknown = member(model, "unk_token");
  if (unknown == nullptr) return;
  const std::string& text = expect_string(*unknown, "unk_token", where);
  const auto found = std::find(parts.tokens.begin(), parts.tokens.end(), text);
  if (found == parts.tokens.end())
    throw_input("unk_token '" + text + "' is not in the vocabulary", where);
  parts.alphabet.unknown = static_cast<int32_t>(found - parts.tokens.begin());
}

}  // namespace

TokenizerParts read_tokenizer_json(const Json& tokenizer_json, const std::string& where) {
  expect_object(tokenizer_json, "tokenizer.json", where);
  const Json& model = expect_object(required(tokenizer_json, "model", where), "model", where);
  TokenizerParts parts;
  read_model(model, parts, where);
  if (const Json* tokens = member(tokenizer_json, "added_tokens"))
    read_added(*tokens, parts, where);
  for (const auto& token : parts.added) {
    const auto id = static_cast<size_t>(token.id);
    if (id >= parts.tokens.size()) parts.tokens.resize(id + 1);
    parts.tokens[id] = token.content;
  }
  read_unknown(model, parts, where);
  parts.normalizer = Normalizer::from_json(tokenizer_json.value("normalizer", Json()), where);
  parts.pre_tokenizer =
      PreTokenizer::from_json(tokenizer_json.value("pre_tokenizer", Json()), where);
  parts.alphabet.byte_level = parts.pre_tokenizer.byte_level();
  parts.decoder = read_decoder(tokenizer_json, parts, where);
  return parts;
}

void read_tokenizer_config(const Json& config, const Json& tokenizer_json, TokenizerParts& parts,
                           const std::string& where) {
  expect_object(config, "tokenizer_config.json", where);
  parts.bos = config_token(config, "bos_token", parts, where);
  parts.eos = config_token(config, "eos_token", parts, where);
  parts.chat_template = config_template(config, where);
  bool adds = false;
  const Json* processor = member(tokenizer_json, "post_processor");
  if (parts.bos && processor != nullptr)
    adds = processor_adds(*processor, *parts.tokens[static_cast<size_t>(*parts.bos)]);
  parts.add_bos = flag(config, "add_bos_token", adds, where);
}

Tokenizer Tokenizer::from_tokenizer_json(const Json& tokenizer_json, const Json* tokenizer_config,
                                         const std::string& where) {
  TokenizerParts parts = read_tokenizer_json(tokenizer_json, where);
  if (tokenizer_config != nullptr)
    read_tokenizer_config(
        *tokenizer_config, tokenizer_json, parts,
        std::filesystem::path(where).replace_filename("tokenizer_config.json").string());
  return Tokenizer(std::move(parts), where);
}

}  // namespace ktx::text
