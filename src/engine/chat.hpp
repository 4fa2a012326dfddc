// Turns conversations into prompts, with the model's chat template or else a built-in format.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ktx/tokenizer.hpp"
#include "text/chat.hpp"
#include "text/chat_template.hpp"
#include "text/chat_template_files.hpp"

namespace ktx::engine {

class Chat {
 public:
  /// Adds the tokenizer's bos and eos to the special tokens. If the template can't be parsed, a
  /// built-in format is used instead.
  Chat(const text::Tokenizer& tokenizer, text::ChatFiles files);

  /// Where the template comes from, or the name of the built-in format; nothing when there is
  /// neither.
  std::optional<std::string> name() const;
  /// What a user should know about it; may be empty.
  const std::string& warning() const noexcept { return warning_; }

  /// messages: an array of objects. Both throw input error when there is neither a template nor a
  /// format, or when it rejects the messages.
  std::string render(const Json& messages, const ChatOptions& options) const;
  std::vector<int32_t> encode(const text::Tokenizer& tokenizer, const Json& messages,
                              const ChatOptions& options) const;

  /// The token that ends the assistant's turn in the model's template.
  std::optional<int32_t> turn_end(const text::Tokenizer& tokenizer) const;

 private:
  std::optional<text::ChatTemplate> find(const ChatOptions& options) const;
  const text::ChatFormat& built_in(const ChatOptions& options) const;

  text::ChatFiles files_;
  std::optional<text::ChatFormat> format_;  // where no template can be used
  std::string warning_;
};

/// Renders the template of `options` without a model.
std::string render_template(const Json& messages, const ChatOptions& options);

/// Messages as JSON for templates, and back for the built-in formats.
Json to_json(std::span<const ChatMessage> messages);
std::vector<ChatMessage> to_messages(const Json& messages);

}  // namespace ktx::engine
