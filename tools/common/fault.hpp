// Ends a tool with a message when a mapped file is truncated while in use.
#pragma once

#include <string>

namespace ktx::tools {

/// Handles SIGBUS in a file that ktx has mapped: one line on stderr that begins with the tool's
/// name, exit code 1. Any other SIGBUS ends the process as ever. Called once.
void install_fault_handler(const std::string& tool);

}  // namespace ktx::tools
