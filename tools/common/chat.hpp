// A chat on the terminal.
#pragma once

#include "ktx/engine.hpp"
#include "tools/common/generation.hpp"

namespace ktx::tools {

/// Reads messages from stdin until its end or `/exit`; `/reset` forgets the conversation.
/// Throws ktx::Error when the model has no chat format.
void chat(Engine& engine, const GenerationOptions& options);

}  // namespace ktx::tools
