// How a model's conversations are put: its chat template, or else a built-in format.
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
  /// bos and eos are added to the special tokens from the tokenizer itself. A template that can't
  /// be parsed is left for a built-in format.
  Chat(const text::Tokenizer& tokenizer, text::ChatFiles files);

  /// Where the template is from, or the name of a built-in format; nothing when there is neither.
  std::optional<std::string> name() const;
  /// What a user should know of it; or empty.
  const std::string& warning() const noexcept { return warning_; }

  /// `messages`: an array of objects. Throw input error when there is no way to put them.
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

/// Messages as templates see them, and back for the built-in formats.
Json to_json(std::span<const ChatMessage> messages);
std::vector<ChatMessage> to_messages(const Json& messages);

}  // namespace ktx::engine
