// A chat on the terminal.
#pragma once

#include <string>
#include <vector>

#include "ktx/engine.hpp"
#include "tools/common/generation.hpp"

namespace ktx::tools {

/// --chat-template, --tools and --set: what a chat template is rendered with.
void add_chat_options(CLI::App& app, ChatOptions& options);

/// How the model's chats are put; warns where that may not be as its makers meant it. Throws
/// ktx::Error when there is no way.
std::string require_chat_format(const Tokenizer& tokenizer, const ChatOptions& options);

/// The first messages of a conversation: the system's, unless it is empty.
std::vector<ChatMessage> opening(const std::string& system);

/// Reads messages from stdin until its end or `/exit`; `/reset` forgets the conversation, but not
/// the system's message; `/experts 6` answers with 6 experts a token from then on. Throws
/// ktx::Error when the model has no chat format. Reasoning is dimmed on a terminal.
void chat(Engine& engine, GenerationOptions options, const std::string& system,
          const ChatOptions& chat_options);

}  // namespace ktx::tools
