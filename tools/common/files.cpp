// Reading and writing whole files, and asking whether one can be written.
#include "tools/common/files.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "ktx/error.hpp"

namespace ktx::tools {

namespace fs = std::filesystem;

std::string read_file(const fs::path& file) {
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  const int code = errno;
  std::error_code none;
  const bool directory = fs::is_directory(file, none);
  if (!in || directory)
    throw Error(ErrorCategory::input,
                std::string("can't be read: ") + std::strerror(directory ? EISDIR : code),
                file.string());
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void check_writable(const fs::path& file) {
  const auto refuse = [&file](int code) {
    throw Error(ErrorCategory::environment, std::string("can't be written: ") + std::strerror(code),
                file.string());
  };
  std::error_code none;
  if (fs::is_directory(file, none)) refuse(EISDIR);
  // A regular file is replaced, which its folder must allow; a device is written to.
  const bool device = fs::exists(file, none) && !fs::is_regular_file(file, none);
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  if (access(device ? file.c_str() : folder.c_str(), W_OK) != 0) refuse(errno);
  if (!device && !fs::is_directory(folder, none)) refuse(ENOTDIR);
}

void write_file(const fs::path& file, const std::string& bytes) {
  errno = 0;
  std::ofstream out(file, std::ios::binary);
  out << bytes;
  out.close();
  if (!out)
    throw Error(ErrorCategory::environment,
                std::string("can't be written: ") + std::strerror(errno), file.string());
}

}  // namespace ktx::tools
