// Tables of bytes and characters, filled from the vocabulary.
#include "text/alphabet.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "text/byte_alphabet.hpp"
#include "text/byte_tokens.hpp"
#include "text/unicode.hpp"

namespace ktx::text {

namespace {

std::optional<uint8_t> byte_of(const std::string& token, bool byte_level) {
  if (!byte_level) return byte_of_token(token);
  const auto bytes = from_byte_alphabet(token);
  return bytes && bytes->size() == 1 ? std::optional(static_cast<uint8_t>(bytes->front()))
                                     : std::nullopt;
}

[[noreturn]] void refuse(std::string_view character) {
  const bool valid = utf8_step(character).kind == Utf8Step::valid && character.size() > 1;
  const auto first = static_cast<unsigned char>(character.front());
  throw_input(
      "the text has the " +
      (valid ? "character '" + std::string(character) + "'" : "byte " + std::to_string(first)) +
      ", which the vocabulary has no token for");
}

}  // namespace

Alphabet::Alphabet(const TokenTexts& tokens, const AlphabetKind& kind) : kind_(kind) {
  bytes_.fill(none);
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (!tokens[i] || tokens[i]->empty()) continue;
    const auto id = static_cast<int32_t>(i);
    if (const auto byte = byte_of(*tokens[i], kind.byte_level)) bytes_[*byte] = id;
    const auto step = utf8_step(*tokens[i]);
    if (step.kind == Utf8Step::valid && step.size == tokens[i]->size())
      characters_[step.codepoint] = id;
  }
}

size_t Alphabet::first_size(std::string_view text) const noexcept {
  return kind_.byte_level ? 1 : utf8_step(text).size;
}

int32_t Alphabet::token_of(std::string_view character) const noexcept {
  if (kind_.byte_level) return bytes_[static_cast<unsigned char>(character.front())];
  const auto step = utf8_step(character);
  if (step.kind != Utf8Step::valid) return none;
  const auto found = characters_.find(step.codepoint);
  return found == characters_.end() ? none : found->second;
}

bool Alphabet::has_bytes(std::string_view character) const noexcept {
  return kind_.byte_fallback && std::ranges::all_of(character, [&](char c) {
           return bytes_[static_cast<unsigned char>(c)] != none;
         });
}

void Alphabet::append(std::string_view text, std::vector<int32_t>& ids) const {
  bool pending = false;  // an unknown token is to be appended
  const auto settle = [&] {
    if (pending) ids.push_back(*kind_.unknown);
    pending = false;
  };
  while (!text.empty()) {
    const auto character = text.substr(0, first_size(text));
    text.remove_prefix(character.size());
    if (const int32_t id = token_of(character); id != none) {
      settle();
      ids.push_back(id);
    } else if (has_bytes(character)) {
      // An unknown token before them stays pending: the tokenizers library does so.
      for (const char c : character) ids.push_back(bytes_[static_cast<unsigned char>(c)]);
    } else if (kind_.unknown) {
      if (!kind_.fuse_unknown) settle();
      pending = true;
    } else {
      refuse(character);
    }
  }
  settle();
}

}  // namespace ktx::text
