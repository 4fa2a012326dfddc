// From a request to a template's variables, and from its text to ids.
#include "text/chat_template.hpp"

#include <algorithm>
#include <array>

#include "core/base/error.hpp"
#include "text/fields.hpp"

namespace ktx::text {

namespace {

using jinja::Dict;
using jinja::Text;
using jinja::Value;

// Names that templates put between the marks of a special token.
constexpr std::array<std::string_view, 9> roles{"system",    "developer",   "user",
                                                "assistant", "tool",        "function",
                                                "ipython",   "observation", "model"};

Value message_value(const Json& message) {
  Dict out;
  for (const auto& [key, value] : message.items()) {
    const bool is_role =
        key == "role" && value.is_string() &&
        std::ranges::find(roles, value.get_ref<const std::string&>()) != roles.end();
    out.items.emplace_back(Text(key), jinja::from_json(value, !is_role));
  }
  return out;
}

Value messages_value(const Json& messages) {
  std::vector<Value> out;
  for (const auto& message : expect_array(messages, "messages", "chat")) {
    const Json& fields = expect_object(message, "messages", "chat");
    expect_string(required(fields, "role", "chat: messages"), "role", "chat: messages");
    out.push_back(message_value(message));
  }
  return jinja::list_of(std::move(out));
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view source, std::string where)
    : where_(std::move(where)), template_(source, where_) {}

jinja::Text ChatTemplate::render(const ChatRequest& request) const {
  Dict names;
  const auto set = [&](std::string_view name, Value value) {
    names.items.emplace_back(Text(std::string(name)), std::move(value));
  };
  for (const auto& [name, token] : request.special_tokens.items())
    set(name, jinja::from_json(token, false));
  set("messages", messages_value(request.messages));
  set("tools", jinja::from_json(request.tools, true));
  set("documents", Value());
  set("add_generation_prompt", request.generation_prompt);
  for (const auto& [name, value] : request.variables.items())
    set(name, jinja::from_json(value, true));
  return template_.render(names);
}

std::vector<int32_t> encode_rendered(const Tokenizer& tokenizer, const jinja::Text& text) {
  std::vector<TextPart> parts;
  const std::string_view bytes = text.bytes();
  size_t at = 0;
  for (const auto& [begin, end] : text.given_ranges()) {
    parts.push_back({bytes.substr(at, begin - at), true});
    parts.push_back({bytes.substr(begin, end - begin), false});
    at = end;
  }
  parts.push_back({bytes.substr(at), true});
  auto ids = tokenizer.encode(parts);
  const auto bos = tokenizer.bos();
  if (bos && tokenizer.add_bos() && (ids.empty() || ids.front() != *bos))
    ids.insert(ids.begin(), *bos);
  return ids;
}

}  // namespace ktx::text
