// A file that is cut off while it is mapped ends a tool with a message.
#pragma once

#include <string>

namespace ktx::tools {

/// Handles SIGBUS in a file that ktx has mapped: one line on stderr that begins with the tool's
/// name, exit code 1. Any other SIGBUS ends the process as ever. Called once.
void install_fault_handler(const std::string& tool);

}  // namespace ktx::tools
