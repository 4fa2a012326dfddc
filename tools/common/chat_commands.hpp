// The commands of a chat: /help, /reset, ...
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "tools/common/conversation.hpp"

namespace ktx::tools {

/// What commands act upon.
struct ChatState {
  Conversation conversation;
  int experts_per_token = 0;  // 0: as the plan says
  int max_experts = 0;        // the most that may be asked for; 0: the model has none
  bool ended = false;
};

struct ChatCommand {
  std::string_view name;      // "/reset"
  std::string_view argument;  // "FILE", "[N]": may be left out, or empty: takes none
  std::string_view help;
  std::string (*run)(ChatState& state, const std::string& argument);  // gives what is to be said
};

std::span<const ChatCommand> chat_commands();

/// Is it a command, known or not: a / and a word? A path or a comment in C is a message.
bool is_command(std::string_view line);

/// Runs a line for which is_command holds and gives what is to be said, lines with their ends.
/// Throws ktx::Error when the command or its argument is wrong, and has then changed nothing.
std::string run_command(ChatState& state, std::string_view line);

}  // namespace ktx::tools
