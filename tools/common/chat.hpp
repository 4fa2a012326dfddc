// A chat on the terminal.
#pragma once

#include <string>
#include <vector>

#include "ktx/engine.hpp"
#include "tools/common/generation.hpp"

namespace ktx::tools {

/// The name of the model's chat format. Throws ktx::Error when it has none.
std::string require_chat_format(const Tokenizer& tokenizer);

/// The first messages of a conversation: the system's, unless it is empty.
std::vector<ChatMessage> opening(const std::string& system);

/// Reads messages from stdin until its end or `/exit`; `/reset` forgets the conversation, but not
/// the system's message; `/experts 6` answers with 6 experts a token from then on. Throws
/// ktx::Error when the model has no chat format.
void chat(Engine& engine, GenerationOptions options, const std::string& system);

}  // namespace ktx::tools
