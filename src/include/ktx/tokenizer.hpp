// Text to token ids and back, with the model's own vocabulary and chat format.
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

/// How a conversation is put.
struct ChatOptions {
  /// A Jinja template's file, instead of the model's own template.
  std::filesystem::path chat_template;
  std::string tools;                  // what the model may call: a JSON array; empty: nothing
  std::string tools_where = "tools";  // what errors call it, e.g. its file
  /// Further names that the template knows, their values in JSON: {"enable_thinking", "false"}.
  std::vector<std::pair<std::string, std::string>> variables;
  bool generation_prompt = true;  // ends with what begins the assistant's reply
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

  /// How the model's conversations are put: where its chat template is from, or the name of a
  /// built-in format, e.g. "deepseek-v3"; nothing for base models.
  std::optional<std::string> chat_format() const;
  /// Why a built-in format stands in for a chat template; empty: it doesn't.
  const std::string& chat_warning() const noexcept;
  /// The text that the chat template makes of a JSON array of messages. Throws input error, with
  /// the template's line and column, when the template refuses them.
  std::string render_chat(std::string_view messages, const ChatOptions& options = {}) const;
  /// The whole conversation as ids, with one BOS if the model wants any, ready for the assistant to
  /// answer. Special tokens inside contents stay text. Throws as render_chat, when the template
  /// makes no text, and when the model has neither a chat template nor a built-in format.
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
/// a model: special tokens are variables like others.
std::string render_chat(std::string_view messages, const ChatOptions& options);

struct TextStreamOptions {
  bool with_special = false;  // special tokens as their text
  /// A text of its own, like an answer in a chat: it loses the space that SentencePiece's models
  /// begin texts with. Otherwise it follows on other text, like what completes a prompt.
  bool begins = false;
  /// The text ends before the first of these in it. What may be the beginning of one is held back
  /// until it is decided.
  std::vector<std::string> stop = {};
};

/// Turns a stream of ids into text; never gives out part of a character.
class TextStream {
 public:
  /// Throws input error for a stop string that is empty or no UTF-8.
  explicit TextStream(const Tokenizer& tokenizer, TextStreamOptions options = {});
  ~TextStream();
  TextStream(TextStream&&) noexcept;

  /// The text that is complete after this id; may be empty, and is, once stopped.
  std::string push(int32_t id);
  /// What was held back: perhaps the beginning of a stop string, U+FFFD for an unfinished
  /// character.
  std::string finish();
  /// Whether a stop string was found.
  bool stopped() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ktx
