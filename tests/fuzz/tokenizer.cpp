// Tokenizers, and text to encode with them.
#include "core/base/json.hpp"
#include "fuzz/encode_and_decode.hpp"
#include "fuzz/input.hpp"
#include "fuzz/targets.hpp"

namespace ktx::fuzz {

// The file without a name is tokenizer.json; "tiktoken.model" is read in its place when it is
// there.
void use_tokenizer(std::string_view input) {
  const auto files = files_of(input);
  const auto* config_text = find_file(files, "tokenizer_config.json");
  const Json config =
      config_text == nullptr ? Json() : base::parse_json(*config_text, "tokenizer_config.json");
  const auto* ranks = find_file(files, "tiktoken.model");
  const auto read = ranks != nullptr
                        ? text::Tokenizer::from_tiktoken(*ranks, config, "tiktoken.model")
                        : text::Tokenizer::from_tokenizer_json(
                              base::parse_json(files[0].text, "tokenizer.json"),
                              config.is_null() ? nullptr : &config, "tokenizer.json");
  const auto* text = find_file(files, "text");
  encode_and_decode(read, text == nullptr ? sample_text : *text);
}

}  // namespace ktx::fuzz
