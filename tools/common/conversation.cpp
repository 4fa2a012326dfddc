// Conversations as JSON.
#include "tools/common/conversation.hpp"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "ktx/error.hpp"
#include "tools/common/files.hpp"
#include "tools/common/json.hpp"

namespace ktx::tools {

namespace {

constexpr std::string_view roles[] = {"system", "user", "assistant"};  // as ChatMessage::Role

ChatMessage to_message(const Json& json, const std::string& where) {
  const auto text = [&json, &where](const char* key) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    if (found == json.end() || !found->is_string())
      throw Error(ErrorCategory::input, std::string("expected a message with a text '") + key + "'",
                  where, {R"(a message: {"role": "user", "content": "Hi"})"});
    return found->get<std::string>();
  };
  const auto role = text("role");
  const auto* found = std::ranges::find(roles, role);
  if (found == std::end(roles))
    throw Error(ErrorCategory::input,
                "expected the role system, user or assistant, found '" + role + "'", where);
  return {static_cast<ChatMessage::Role>(found - roles), text("content")};
}

}  // namespace

Conversation opening(const std::string& system) {
  if (system.empty()) return {};
  return {{ChatMessage::Role::system, system}};
}

std::string system_message(const Conversation& conversation) {
  const bool none = conversation.empty() || conversation[0].role != ChatMessage::Role::system;
  return none ? "" : conversation[0].content;
}

void save_conversation(const Conversation& conversation, const std::filesystem::path& file) {
  Json json = Json::array();
  for (const auto& message : conversation)
    json.push_back(
        {{"role", roles[static_cast<size_t>(message.role)]}, {"content", message.content}});
  write_file(file, json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

Conversation load_conversation(const std::filesystem::path& file) {
  const Json json = Json::parse(read_file(file), nullptr, false);
  if (!json.is_array())
    throw Error(ErrorCategory::input, "expected a JSON array of messages", file.string());
  Conversation conversation;
  for (const auto& message : json)
    conversation.push_back(to_message(
        message, file.string() + ": message " + std::to_string(conversation.size() + 1)));
  return conversation;
}

}  // namespace ktx::tools
