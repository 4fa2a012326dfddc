// A chat's messages, and the file they are kept in.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ktx/tokenizer.hpp"

namespace ktx::tools {

using Conversation = std::vector<ChatMessage>;

/// The first messages of a conversation: the system's, unless it is empty.
Conversation opening(const std::string& system);

/// The system's message at its beginning; empty: none.
std::string system_message(const Conversation& conversation);

/// A JSON array of {"role", "content"}, as `ktx-eval chat --messages` reads it. Throws environment
/// error.
void save_conversation(const Conversation& conversation, const std::filesystem::path& file);

/// What save_conversation wrote, or another program. Throws input error.
Conversation load_conversation(const std::filesystem::path& file);

}  // namespace ktx::tools
