// The tokenizers under tests/data/tokenizer and tests/data/tokenizers, and small ones made up.
#pragma once

#include <string>

#include "core/base/json.hpp"
#include "text/byte_alphabet.hpp"
#include "text/tokenizer.hpp"

namespace ktx::test {

inline Json tokenizer_data(const std::string& file) {
  return base::read_json(std::string(KTX_TEST_DATA) + "/tokenizer/" + file);
}

/// Vectors of the makers' own libraries, from tests/data/tokenizers.
inline Json tokenizer_vectors(const std::string& file) {
  return base::read_json(std::string(KTX_TEST_DATA) + "/tokenizers/" + file);
}

/// The bytes of hexadecimal digits.
inline std::string from_hex(const std::string& digits) {
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return bytes;
}

/// tiny-v3's, from tokenizer.json and its config; the same from GGUF metadata.
inline text::Tokenizer tiny_v3() {
  const Json config = tokenizer_data("tiny-v3-tokenizer-config.json");
  return text::Tokenizer::from_tokenizer_json(tokenizer_data("tiny-v3-tokenizer.json"), &config,
                                              "tokenizer.json");
}
inline text::Tokenizer tiny_v3_gguf() {
  return text::Tokenizer::from_gguf(tokenizer_data("tiny-v3-gguf.json"), "tiny.gguf");
}

/// A tokenizer.json whose vocabulary is the 256 bytes (id = byte), then `merges` in order; a
/// ByteLevel pre-tokenizer without a pattern, so that pieces are cut by added tokens alone.
inline Json byte_tokenizer(const std::vector<std::string>& merges = {}) {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte)
    vocab[text::to_byte_alphabet(std::string(1, static_cast<char>(byte)))] = byte;
  for (const auto& merge : merges) {
    std::string token = merge;
    token.erase(token.find(' '), 1);
    vocab[token] = vocab.size();
  }
  Json json;
  json["added_tokens"] = Json::array();
  json["normalizer"] = nullptr;
  json["pre_tokenizer"] = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  json["model"] = {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}};
  return json;
}

/// An entry of added_tokens; further flags as members of `flags`.
inline Json added(int id, const std::string& content, Json flags = Json::object()) {
  flags["id"] = id;
  flags["content"] = content;
  return flags;
}

}  // namespace ktx::test
