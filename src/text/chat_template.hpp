// Chat templates: conversations as the model's own Jinja template puts them.
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
  Json tools;           // an array of what the model may call, or null
  Json variables;       // an object of further names that the template knows, or null
  Json special_tokens;  // an object: bos_token, eos_token, ...
  bool generation_prompt = true;
};

/// A parsed template. Immutable; const use is thread-safe.
class ChatTemplate {
 public:
  /// Throws input error when it is no template; `where` names it in messages.
  ChatTemplate(std::string_view source, std::string where);

  const std::string& where() const noexcept { return where_; }

  /// The text. All that the request holds is marked as given, but for the special tokens and the
  /// well-known roles (templates make tokens of them: <|user|>). Throws input error when the
  /// template refuses the request or can't be rendered.
  jinja::Text render(const ChatRequest& request) const;

 private:
  std::string where_;
  jinja::Template template_;
};

/// The ids of a rendered conversation. What was given never becomes a special token. Begins with
/// one bos where the tokenizer or the template wants it.
std::vector<int32_t> encode_rendered(const Tokenizer& tokenizer, const jinja::Text& text);

}  // namespace ktx::text
