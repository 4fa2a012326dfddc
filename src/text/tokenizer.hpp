// Byte-level BPE tokenizers, read from tokenizer.json or from GGUF metadata.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/json.hpp"
#include "text/added_tokens.hpp"
#include "text/bpe.hpp"
#include "text/pretokenizer.hpp"
#include "text/unicode.hpp"

namespace ktx::text {

/// What a tokenizer is made of, as the readers of the two file formats find it.
struct TokenizerParts {
  std::vector<std::optional<std::string>> tokens;  // by id, as the file spells them
  std::vector<AddedToken> added;
  std::vector<std::pair<std::string, std::string>> merges;  // best first
  PreTokenizer pre_tokenizer;
  std::vector<Normalization> normalizers;  // one after the other
  bool ignore_merges = false;
  std::optional<int32_t> unknown, bos, eos;
  std::vector<int32_t> further_stops;  // besides eos and the well-known names
  bool add_bos = false;
  std::optional<std::string> chat_template;
};

/// A stretch of a text to encode.
struct TextPart {
  std::string_view text;
  bool parse_special = true;  // may it hold special tokens?
};

/// Text to token ids and back. Immutable; const use is thread-safe.
///
/// Special tokens are those that the file calls special (GGUF: control), those that bear the name
/// of a marker (`<|...|>`, `<｜...｜>`, `[INST]`: DeepSeek-V3's role tokens are not called special
/// in its file), bos, eos and the stops.
///
/// Bytes that are not valid UTF-8 are encoded as they are, a run of them a piece of its own.
class Tokenizer {
 public:
  /// From the contents of a tokenizer.json and, unless null, of the tokenizer_config.json beside it
  /// (which knows bos, eos and the chat template). `where` is the file, for messages. Throws input
  /// error for what is malformed or of a kind that is not supported.
  static Tokenizer from_tokenizer_json(const Json& tokenizer_json, const Json* tokenizer_config,
                                       const std::string& where);

  /// From an object of GGUF key -> value. Throws as above.
  static Tokenizer from_gguf(const Json& metadata, const std::string& where);

  /// Throws input error when the parts contradict each other.
  Tokenizer(TokenizerParts parts, const std::string& where);

  /// Adds no bos or eos. Without parse_special, special tokens in the text are plain text (other
  /// added tokens are still recognised). Throws input error when the text has a byte that the
  /// vocabulary has no token for and there is no unknown token, and when the tokenizer's patterns
  /// take more steps on this text than StepBudget allows.
  std::vector<int32_t> encode(std::string_view text, bool parse_special = true) const;

  /// The parts as one text: pieces go across their bounds where no special token stands between.
  std::vector<int32_t> encode(std::span<const TextPart> parts) const;

  /// The bytes of the tokens, one after the other; special tokens as their text.
  /// Throws input error for an id that is not below vocab_size().
  std::string decode(std::span<const int32_t> ids) const;

  /// The bytes of a token; empty for an id below vocab_size() that no token has. Throws as decode.
  std::string_view token_bytes(int32_t id) const;
  /// False for ids that no token has.
  bool is_special(int32_t id) const noexcept;
  /// The id of the added token of that text.
  std::optional<int32_t> added_token(std::string_view text) const;
  /// One more than the greatest id; the model's logits may be wider.
  int32_t vocab_size() const noexcept { return static_cast<int32_t>(special_.size()); }

  std::optional<int32_t> bos() const noexcept { return bos_; }
  std::optional<int32_t> eos() const noexcept { return eos_; }
  /// The tokens that end a reply: eos first, then end-of-turn tokens by their names.
  const std::vector<int32_t>& stop_ids() const noexcept { return stop_ids_; }
  /// Does the model expect bos before a plain prompt?
  bool add_bos() const noexcept { return add_bos_; }
  /// The Jinja text that came with the model.
  const std::optional<std::string>& chat_template() const noexcept { return chat_template_; }

 private:
  struct Work;
  void take_tokens(TokenizerParts& parts, const std::string& where);
  void take_merges(const TokenizerParts& parts, const std::string& where);
  void take_stops(const TokenizerParts& parts);
  void cut_added(const TextPart& part, Work& work) const;
  std::string normal_form(std::string_view text, StepBudget& budget) const;
  void cut_normalized(std::string_view text, bool parse_special, Work& work) const;
  void encode_pending(Work& work) const;
  void encode_piece(std::string_view piece, std::vector<int32_t>& ids) const;
  void check_id(int32_t id) const;

  std::string bytes_;            // of all tokens, one after the other
  std::vector<size_t> offsets_;  // by id, and one more
  std::vector<uint8_t> special_;
  std::unordered_map<std::string, int32_t> ids_;        // as the file spells them
  std::unordered_map<std::string, int32_t> added_ids_;  // of the added tokens
  std::vector<int32_t> byte_ids_;                       // by byte; -1: no token
  Bpe bpe_;
  AddedTokens raw_added_, normalized_added_;
  PreTokenizer pre_tokenizer_;
  std::vector<Normalization> normalizers_;
  bool ignore_merges_ = false;
  std::optional<int32_t> unknown_, bos_, eos_;
  std::vector<int32_t> stop_ids_;
  bool add_bos_ = false;
  std::optional<std::string> chat_template_;
};

}  // namespace ktx::text
