// A byte-level vocabulary of any size.
#include "engine/synth/vocabulary.hpp"

#include <string>
#include <vector>

#include "text/byte_alphabet.hpp"

namespace ktx::engine {
namespace {

constexpr const char* bos = "<|begin_of_text|>";
constexpr const char* eos = "<|end_of_text|>";

/// A token's text as the file has it, in the printable stand-ins for bytes.
std::vector<std::string> vocabulary(const Json& config) {
  std::vector<std::string> tokens(config.at("vocab_size").get<size_t>());
  tokens[config.at("bos_token_id").get<size_t>()] = bos;
  tokens[config.at("eos_token_id").get<size_t>()] = eos;
  int byte = 0;
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (!tokens[id].empty()) continue;
    const std::string text =
        byte < 256 ? std::string(1, static_cast<char>(byte)) : " t" + std::to_string(id);
    tokens[id] = text::to_byte_alphabet(text);
    ++byte;
  }
  return tokens;
}

}  // namespace

Json gguf_vocabulary(const PublishedModel& model, const Json& config) {
  constexpr int normal = 1, control = 3;
  const std::vector<std::string> tokens = vocabulary(config);
  Json types = Json::array();
  for (const std::string& token : tokens)
    types.push_back(token == bos || token == eos ? control : normal);
  return {{"tokenizer.ggml.model", "gpt2"},
          {"tokenizer.ggml.pre", model.pre_tokenizer},
          {"tokenizer.ggml.tokens", tokens},
          {"tokenizer.ggml.token_type", std::move(types)},
          {"tokenizer.ggml.merges", Json::array()},
          {"tokenizer.ggml.bos_token_id", config.at("bos_token_id")},
          {"tokenizer.ggml.eos_token_id", config.at("eos_token_id")},
          {"tokenizer.ggml.add_bos_token", model.add_bos}};
}

Json tokenizer_json(const Json& config) {
  Json ids = Json::object(), added = Json::array();
  const std::vector<std::string> tokens = vocabulary(config);
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id] == bos || tokens[id] == eos)
      added.push_back({{"id", id}, {"content", tokens[id]}, {"special", true}});
    else
      base::append(ids, tokens[id], id);
  }
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  return {{"version", "1.0"},
          {"added_tokens", std::move(added)},
          {"pre_tokenizer", byte_level},
          {"decoder", byte_level},
          {"model", {{"type", "BPE"}, {"vocab", std::move(ids)}, {"merges", Json::array()}}}};
}

Json tokenizer_config(const PublishedModel& model) {
  return {{"bos_token", bos}, {"eos_token", eos}, {"add_bos_token", model.add_bos}};
}

}  // namespace ktx::engine
