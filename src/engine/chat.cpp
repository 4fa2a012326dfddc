// Choosing a template, rendering conversations with it.
#include "engine/chat.hpp"

#include <algorithm>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/file.hpp"
#include "core/base/text.hpp"
#include "text/fields.hpp"

namespace ktx::engine {

namespace {

text::ChatRequest request_of(const Json& messages, const Json& special_tokens,
                             const ChatOptions& options) {
  text::ChatRequest request{.messages = messages,
                            .tools = nullptr,
                            .variables = Json::object(),
                            .special_tokens = special_tokens,
                            .generation_prompt = options.generation_prompt};
  if (!options.tools.empty()) request.tools = base::parse_json(options.tools, options.tools_where);
  for (const auto& [name, value] : options.variables)
    request.variables[name] = base::parse_json(value, "variable " + name);
  return request;
}

constexpr std::string_view role_names[] = {"system", "user", "assistant"};

}  // namespace

Chat::Chat(const text::Tokenizer& tokenizer, text::ChatFiles files) : files_(std::move(files)) {
  for (const auto& [name, id] :
       {std::pair("bos_token", tokenizer.bos()), std::pair("eos_token", tokenizer.eos())})
    if (id) files_.special_tokens[name] = std::string(tokenizer.token_bytes(*id));
  std::string why = "the model has no chat template";
  try {
    if (find({})) return;
  } catch (const Error& e) {
    if (e.category() != ErrorCategory::input) throw;
    why = "the model's chat template can't be used: " + std::string(e.what());
    files_.templates.clear();
  }
  format_ = text::detect_chat_format(tokenizer);
  if (format_)
    warning_ = why + "; chats follow ktx's own format " + format_->name +
               " instead: give --chat-template FILE for another";
}

std::optional<std::string> Chat::name() const {
  if (format_) return format_->name;
  const auto* found = text::find_template(files_.templates, "default");
  if (found == nullptr) return std::nullopt;
  return "chat template of " + found->where;
}

std::optional<text::ChatTemplate> Chat::find(const ChatOptions& options) const {
  if (!options.chat_template.empty())
    return text::ChatTemplate(base::read_text(options.chat_template),
                              options.chat_template.string());
  const auto* found =
      text::find_template(files_.templates, options.tools.empty() ? "default" : "tool_use");
  if (found == nullptr) return std::nullopt;
  return text::ChatTemplate(found->source, found->where);
}

const text::ChatFormat& Chat::built_in(const ChatOptions& options) const {
  if (!format_)
    throw_input("the model has no chat template, and no format that ktx knows", {},
                {"give a template: --chat-template FILE",
                 "ktx's own formats: " + base::join(text::chat_format_names())});
  if (!options.tools.empty() || !options.variables.empty())
    throw_input(
        "tools and variables need a chat template: ktx's own format " + format_->name + " has none",
        {}, {"give a template: --chat-template FILE"});
  return *format_;
}

std::string Chat::render(const Json& messages, const ChatOptions& options) const {
  if (const auto found = find(options))
    return found->render(request_of(messages, files_.special_tokens, options)).bytes();
  return text::render(built_in(options), to_messages(messages), options.generation_prompt);
}

std::vector<int32_t> Chat::encode(const text::Tokenizer& tokenizer, const Json& messages,
                                  const ChatOptions& options) const {
  if (const auto found = find(options)) {
    const auto text = found->render(request_of(messages, files_.special_tokens, options));
    auto ids = text::encode_rendered(tokenizer, text);
    if (text.bytes().empty() || ids.empty())
      throw_input("the chat template makes no text of this conversation", found->where());
    return ids;
  }
  return text::encode_chat(tokenizer, built_in(options), to_messages(messages),
                           options.generation_prompt);
}

std::optional<int32_t> Chat::turn_end(const text::Tokenizer& tokenizer) const {
  const std::string reply = "a reply";
  const Json messages = to_json(std::vector<ChatMessage>{{ChatMessage::Role::user, "a question"},
                                                         {ChatMessage::Role::assistant, reply}});
  try {
    const auto found = find({});
    if (!found) return std::nullopt;
    const auto text =
        found->render(request_of(messages, files_.special_tokens, {.generation_prompt = false}));
    const size_t at = text.bytes().rfind(reply);
    if (at == std::string::npos) return std::nullopt;
    const auto ids = tokenizer.encode(text.bytes().substr(at + reply.size()));
    if (ids.empty() || !tokenizer.is_special(ids[0])) return std::nullopt;
    return ids[0];
  } catch (const Error&) {  // e.g. a template that wants a system message
    return std::nullopt;
  }
}

std::string render_template(const Json& messages, const ChatOptions& options) {
  const text::ChatTemplate chat_template(base::read_text(options.chat_template),
                                         options.chat_template.string());
  return chat_template.render(request_of(messages, Json::object(), options)).bytes();
}

Json to_json(std::span<const ChatMessage> messages) {
  Json out = Json::array();
  for (const auto& m : messages)
    out.push_back({{"role", role_names[static_cast<size_t>(m.role)]}, {"content", m.content}});
  return out;
}

std::vector<ChatMessage> to_messages(const Json& messages) {
  const std::string where = "chat: messages";
  std::vector<ChatMessage> out;
  for (const auto& message : text::expect_array(messages, "messages", where)) {
    text::expect_object(message, "messages", where);
    const auto& role = text::expect_string(text::required(message, "role", where), "role", where);
    const auto* found = std::ranges::find(role_names, role);
    if (found == std::end(role_names))
      throw_input("role '" + role +
                      "' needs a chat template: ktx's own formats know system, user "
                      "and assistant",
                  where);
    out.push_back(
        {static_cast<ChatMessage::Role>(found - role_names),
         text::expect_string(text::required(message, "content", where), "content", where)});
  }
  return out;
}

}  // namespace ktx::engine
