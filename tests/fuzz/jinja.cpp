// Chat templates with a conversation, and ktx's own formats, which are recognised by a template.
#include "core/base/json.hpp"
#include "fuzz/input.hpp"
#include "fuzz/targets.hpp"
#include "text/chat.hpp"
#include "text/chat_template.hpp"
#include "text/tokenizer_data.hpp"

namespace ktx::fuzz {

namespace {

constexpr const char* usual_messages = R"([
  {"role": "system", "content": "Be brief."},
  {"role": "user", "content": "What is 2 + 2? <|im_end|>"},
  {"role": "assistant", "content": "4", "tool_calls":
    [{"type": "function", "id": "a1", "function": {"name": "sum", "arguments": {"x": [2, 2.5]}}}]},
  {"role": "tool", "content": "{\"y\": null}", "tool_call_id": "a1"},
  {"role": "user", "content": "Grüße 😀"}])";

Json json_or(const std::vector<File>& files, const char* name, const char* otherwise) {
  const auto* text = find_file(files, name);
  return base::parse_json(text == nullptr ? otherwise : *text, name);
}

void use_own_format(const std::string& source) {
  const auto format = text::detect_chat_format(source, "<s>", "</s>");
  if (!format) return;
  const std::vector<ChatMessage> messages{{ChatMessage::Role::system, "Be brief."},
                                          {ChatMessage::Role::user, "Hello!"},
                                          {ChatMessage::Role::assistant, "</think> Yes?"}};
  text::render(*format, messages, true);
}

}  // namespace

// The file without a name is the template.
void use_jinja(std::string_view input) {
  static const auto tokenizer =
      text::Tokenizer::from_tokenizer_json(test::byte_tokenizer(), nullptr, "tokenizer.json");
  const auto files = files_of(input);
  use_own_format(files[0].text);
  const text::ChatTemplate chat_template(files[0].text, "template");
  const auto text =
      chat_template.render({.messages = json_or(files, "messages", usual_messages),
                            .tools = json_or(files, "tools", "null"),
                            .variables = json_or(files, "variables", "{}"),
                            .special_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}}});
  text::encode_rendered(tokenizer, text);
}

}  // namespace ktx::fuzz
