// Files named on the command line.
#pragma once

#include <filesystem>
#include <string>

namespace ktx::tools {

/// All bytes of a file. Throws input error when it can't be read, or is a folder.
std::string read_file(const std::filesystem::path& file);

/// Throws environment error when the file can't be written or made: to be asked before work whose
/// result goes there.
void check_writable(const std::filesystem::path& file);
/// Replaces the file. Throws environment error.
void write_file(const std::filesystem::path& file, const std::string& bytes);

}  // namespace ktx::tools
