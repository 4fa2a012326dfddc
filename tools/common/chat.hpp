// A chat on the terminal.
#pragma once

#include <string>

#include "ktx/engine.hpp"
#include "tools/common/generation.hpp"

namespace ktx::tools {

/// --chat-template, --tools and --set: what a chat template is rendered with.
void add_chat_options(CLI::App& app, ChatOptions& options);

/// How the model's chats are put; warns where that may not be as its makers meant it. Throws
/// ktx::Error when there is no way.
std::string require_chat_format(const Tokenizer& tokenizer, const ChatOptions& options);

/// Reads messages and commands (chat_commands.hpp) from the terminal until its end or `/exit`.
/// Ctrl-C stops the answer, never the chat. Throws ktx::Error when the model has no chat format.
/// Reasoning is dimmed on a terminal.
void chat(Engine& engine, const GenerationOptions& options, const std::string& system,
          const ChatOptions& chat_options);

}  // namespace ktx::tools
