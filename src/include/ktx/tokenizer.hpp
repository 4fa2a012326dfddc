// Text to token ids and back, with the model's own vocabulary and chat format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ktx {

struct ChatMessage {
  enum class Role { system, user, assistant } role = Role::user;
  std::string content;
};

/// Immutable and cheap to copy; safe to use from several threads.
class Tokenizer {
 public:
  /// path: a .gguf, a tokenizer.json, a tiktoken.model (its tokenizer_config.json beside it), or a
  /// directory with one of the last two.
  static Tokenizer open(const std::filesystem::path& path);

  /// Ids of the text. Special tokens written in it are recognised when parse_special; none is
  /// added.
  std::vector<int32_t> encode(std::string_view text, bool parse_special = true) const;

  /// Text of the ids, from its beginning: a vocabulary that puts a space before every text takes it
  /// away again. Bytes that are no UTF-8 come out as U+FFFD. Special tokens are left out
  /// unless with_special.
  std::string decode(std::span<const int32_t> ids, bool with_special = false) const;

  int vocab_size() const noexcept;
  /// The token every prompt starts with, if the model wants one.
  std::optional<int32_t> bos() const noexcept;
  /// Tokens that end a generation.
  const std::vector<int32_t>& stop_ids() const noexcept;

  /// Name of the chat format recognised, e.g. "deepseek-v3"; nothing for base models.
  std::optional<std::string> chat_format() const;
  /// The whole conversation as ids, BOS included, ready for the assistant to answer. Special tokens
  /// inside contents stay text. Throws input error when the model has no chat format.
  std::vector<int32_t> encode_chat(const std::vector<ChatMessage>& messages) const;

  struct State;
  explicit Tokenizer(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  const State& state() const noexcept { return *state_; }
  std::shared_ptr<const State> share_state() const noexcept { return state_; }

 private:
  std::shared_ptr<const State> state_;
};

/// Turns a stream of ids into text that follows on other text; never gives out part of a character.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer, bool with_special = false);
  ~TextStream();
  TextStream(TextStream&&) noexcept;

  /// The text that is complete after this id; may be empty.
  std::string push(int32_t id);
  /// What was held back: U+FFFD for an unfinished character.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ktx
