// The pre-tokenizers that GGUF files name.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ktx::text {

/// GPT-2's pattern, also that of tokenizer.json's ByteLevel step with use_regex.
inline constexpr const char* gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// A row: what a value of `tokenizer.ggml.pre` stands for. GGUF files carry the name alone; the
/// patterns are those of the tokenizer.json files that the named models were published with, in
/// Oniguruma's syntax, or equal ones that take linear time. Each isolates its matches, in order.
struct GgufPreTokenizer {
  std::vector<std::string> names;  // the first is the usual one
  std::vector<std::string> patterns;
  bool ignore_merges = false;  // a piece that is a token is that token, whatever the merges say
  bool add_bos = false;        // when the file does not say
};

std::span<const GgufPreTokenizer> gguf_pretokenizers();

/// The row of that name, or nullptr.
const GgufPreTokenizer* find_gguf_pretokenizer(std::string_view name) noexcept;

/// The row of that name. Throws input error with the nearest names.
const GgufPreTokenizer& gguf_pretokenizer(std::string_view name, const std::string& where);

}  // namespace ktx::text
