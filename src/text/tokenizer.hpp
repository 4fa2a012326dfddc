// Tokenizers, read from tokenizer.json, from GGUF metadata or from tiktoken.model.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"
#include "core/base/name_map.hpp"
#include "text/added_tokens.hpp"
#include "text/decoder.hpp"
#include "text/normalizer.hpp"
#include "text/piece_encoder.hpp"
#include "text/pretokenizer.hpp"

namespace ktx::text {

/// What a tokenizer is made of, as the readers of the file formats find it.
struct TokenizerParts {
  TokenTexts tokens;
  std::vector<AddedToken> added;
  AlphabetKind alphabet;
  MergeRules rules;
  std::optional<MergeScores> scores;  // take the rules' place
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Decoder decoder;
  std::optional<int32_t> bos, eos;
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
/// Bytes that are not valid UTF-8 are encoded as they are, a run of them a piece of its own, unless
/// the normalizer replaces them.
class Tokenizer {
 public:
  /// From the contents of a tokenizer.json and, unless null, of the tokenizer_config.json beside it
  /// (which knows bos, eos and the chat template). `where` is the file, for messages. Throws input
  /// error for what is malformed or of a kind that is not supported.
  static Tokenizer from_tokenizer_json(const Json& tokenizer_json, const Json* tokenizer_config,
                                       const std::string& where);

  /// From an object of GGUF key -> value. Throws as above.
  static Tokenizer from_gguf(const Json& metadata, const std::string& where);

  /// From the text of a tiktoken.model and the tokenizer_config.json beside it, which knows the
  /// special tokens: those of Kimi. `where` is the first of the two files. Throws as above.
  static Tokenizer from_tiktoken(std::string_view ranks, const Json& tokenizer_config,
                                 const std::string& where);

  /// Throws input error when the parts contradict each other.
  Tokenizer(TokenizerParts parts, const std::string& where);

  /// Adds no bos or eos. Without parse_special, special tokens in the text are plain text (other
  /// added tokens are still recognised). Throws input error when the text has a byte that the
  /// vocabulary has no token for and there is no unknown token, and when the tokenizer's patterns
  /// take more steps on this text than StepBudget allows.
  std::vector<int32_t> encode(std::string_view text, bool parse_special = true) const;

  /// The parts as one text: pieces go across their bounds where no special token stands between.
  std::vector<int32_t> encode(std::span<const TextPart> parts) const;

  /// The bytes of a whole text's tokens; special tokens as their text.
  /// Throws input error for an id that is not below vocab_size().
  std::string decode(std::span<const int32_t> ids) const;

  /// What is to be taken away from the beginning of a decoded text.
  const TextStart& text_start() const noexcept { return text_start_; }

  /// The bytes of a token within a text; empty for an id below vocab_size() that no token has.
  /// Throws as decode.
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
  void take_stops(const TokenizerParts& parts);
  void take_bytes(const TokenizerParts& parts);
  void take_encoder(TokenizerParts& parts, const std::string& where);
  void take_added(TokenizerParts& parts);
  void cut_added(const TextPart& part, Work& work) const;
  void cut_section(Work& work) const;
  void cut_normalized(std::string_view text, bool parse_special, Work& work) const;
  void encode_pending(Work& work) const;
  void check_id(int32_t id) const;

  std::string bytes_;            // of all tokens, one after the other
  std::vector<size_t> offsets_;  // by id, and one more
  std::vector<uint8_t> special_;
  base::NameMap<int32_t> added_ids_;
  std::shared_ptr<const PieceEncoder> encoder_;
  AddedTokens raw_added_, normalized_added_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  TextStart text_start_;
  std::optional<int32_t> bos_, eos_;
  std::vector<int32_t> stop_ids_;
  bool add_bos_ = false;
  std::optional<std::string> chat_template_;
};

}  // namespace ktx::text
