// Chat templates: renders conversations with the model's own Jinja template.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/json.hpp"
#include "text/jinja/template.hpp"
#include "text/tokenizer.hpp"

namespace ktx::text {

/// What a template is rendered with.
struct ChatRequest {
  Json messages;        // an array of {"role": ..., "content": ..., ...}
  Json tools;           // an array of tools that the model may call, or null
  Json variables;       // an object of further variables of the template, or null
  Json special_tokens;  // an object: bos_token, eos_token, ...
  bool generation_prompt = true;
};

/// A parsed template. Immutable; const use is thread-safe.
class ChatTemplate {
 public:
  /// Throws input error when it can't be parsed; `where` names it in messages.
  ChatTemplate(std::string_view source, std::string where);

  const std::string& where() const noexcept { return where_; }

  /// The rendered text. Everything from the request is marked as given, except for special tokens
  /// and well-known roles, from which templates build tokens such as <|user|>. Throws input error
  /// when the template rejects the request or can't be rendered.
  jinja::Text render(const ChatRequest& request) const;

 private:
  std::string where_;
  jinja::Template template_;
};

/// The token ids of a rendered conversation. Text marked as given never becomes a special token.
/// Begins with one bos if the tokenizer or the template wants it.
std::vector<int32_t> encode_rendered(const Tokenizer& tokenizer, const jinja::Text& text);

}  // namespace ktx::text
