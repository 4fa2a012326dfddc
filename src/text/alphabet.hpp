// The tokens of single characters and bytes, which a piece consists of before any merges.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ktx::text {

/// Tokens by id, as the vocabulary spells them; nothing for ids that text can't become.
using TokenTexts = std::vector<std::optional<std::string>>;

/// How a vocabulary spells characters and bytes.
struct AlphabetKind {
  bool byte_level = false;         // bytes, in the byte alphabet; else characters
  bool byte_fallback = false;      // characters without a token as the tokens <0x..> of their bytes
  std::optional<int32_t> unknown;  // for what has no token at all
  bool fuse_unknown = false;       // a run of unknown characters becomes one token
};

class Alphabet {
 public:
  Alphabet(const TokenTexts& tokens, const AlphabetKind& kind);

  /// Appends the tokens of the text's characters, or bytes. Throws input error for one that has
  /// none, when there is no unknown token.
  void append(std::string_view text, std::vector<int32_t>& ids) const;

  /// Bytes of the character that the text begins with; 1 when bytes are spelled.
  size_t first_size(std::string_view text) const noexcept;

 private:
  static constexpr int32_t none = -1;
  int32_t token_of(std::string_view character) const noexcept;
  bool has_bytes(std::string_view character) const noexcept;

  AlphabetKind kind_;
  std::array<int32_t, 256> bytes_{};
  std::map<char32_t, int32_t> characters_;
};

}  // namespace ktx::text
