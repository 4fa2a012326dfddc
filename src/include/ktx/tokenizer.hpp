// Tokenizers: text to token ids and back, with the model's vocabulary and chat template.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ktx {

namespace engine {
struct Access;
}

struct ChatMessage {
  enum class Role { system, user, assistant } role = Role::user;
  std::string content;
};

/// How a conversation becomes a prompt.
struct ChatOptions {
  /// A file with a Jinja template to use instead of the model's own.
  std::filesystem::path chat_template;
  std::string tools;                  // tools the model may call, as a JSON array; empty: none
  std::string tools_where = "tools";  // the name of `tools` in error messages, e.g. its file
  /// Further variables of the template, with values in JSON: {"enable_thinking", "false"}.
  std::vector<std::pair<std::string, std::string>> variables;
  bool generation_prompt = true;  // append what introduces the assistant's reply
};

/// Immutable and cheap to copy; safe to use from several threads.
class Tokenizer {
 public:
  /// path: a .gguf, a tokenizer.json, a tiktoken.model (with its tokenizer_config.json beside it),
  /// or a directory with one of the last two. Throws ktx::Error: input when it can't be read.
  static Tokenizer open(const std::filesystem::path& path);

  /// Token ids of the text. With parse_special, special tokens spelled out in it are recognised;
  /// none are added.
  std::vector<int32_t> encode(std::string_view text, bool parse_special = true) const;

  /// The text of the ids, which are a whole text: if the vocabulary puts a space before every text,
  /// that space is removed. Invalid UTF-8 becomes U+FFFD. Special tokens are omitted unless
  /// with_special.
  std::string decode(std::span<const int32_t> ids, bool with_special = false) const;

  int vocab_size() const noexcept;
  /// The token every prompt starts with, if the model wants one.
  std::optional<int32_t> bos() const noexcept;
  /// Tokens that end the model's answers.
  const std::vector<int32_t>& stop_ids() const noexcept;

  /// Where the model's chat template comes from, or the name of the built-in format that is used
  /// instead, e.g. "deepseek-v3"; nothing for base models.
  std::optional<std::string> chat_format() const;
  /// Why a built-in format is used instead of a chat template; empty: it isn't.
  const std::string& chat_warning() const noexcept;
  /// The text that the chat template makes of a JSON array of messages. Throws ktx::Error: input,
  /// with the template's line and column, when the template rejects them.
  std::string render_chat(std::string_view messages, const ChatOptions& options = {}) const;
  /// The whole conversation as token ids, with one BOS if the model uses it, ready for the
  /// assistant to answer. Special tokens inside messages stay text. Throws like render_chat; also
  /// when the template yields no text, or the model has neither a chat template nor a built-in
  /// format.
  std::vector<int32_t> encode_chat(const std::vector<ChatMessage>& messages,
                                   const ChatOptions& options = {}) const;

  struct State;

 private:
  friend engine::Access;
  friend class TextStream;
  explicit Tokenizer(std::shared_ptr<const State> state) : state_(std::move(state)) {}

  std::shared_ptr<const State> state_;
};

/// The text that the template in `options.chat_template` makes of a JSON array of messages, without
/// a model: names of special tokens (bos_token, ...) are ordinary variables. Throws like
/// Tokenizer::render_chat.
std::string render_chat(std::string_view messages, const ChatOptions& options);

struct TextStreamOptions {
  bool with_special = false;  // include the text of special tokens
  /// The stream is a text of its own, like an answer in a chat: the space that SentencePiece models
  /// put before every text is removed. Otherwise it continues other text, such as a prompt.
  bool begins = false;
  /// The text ends before the first of these in it. What may be the beginning of one is held back
  /// until it is decided.
  std::vector<std::string> stop = {};
};

/// Turns a stream of ids into text without ever returning part of a UTF-8 character.
class TextStream {
 public:
  /// Throws input error for a stop string that is empty or no UTF-8.
  explicit TextStream(const Tokenizer& tokenizer, TextStreamOptions options = {});
  ~TextStream();
  TextStream(TextStream&&) noexcept;

  /// The text completed by this id; may be empty, and is, once stopped.
  std::string push(int32_t id);
  /// The rest: perhaps the beginning of a stop string, U+FFFD for an incomplete character.
  std::string finish();
  /// Whether a stop string was found.
  bool stopped() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ktx
