// Inputs cut into files, and joined.
#include "fuzz/input.hpp"

#include <algorithm>

namespace ktx::fuzz {

namespace {

constexpr std::string_view mark = "@@ ";

// The position of the next line that begins with the mark; the end when there is none.
size_t next_mark(std::string_view text) {
  if (text.starts_with(mark)) return 0;
  const size_t at = text.find("\n@@ ");
  return at == std::string_view::npos ? text.size() : at + 1;
}

}  // namespace

std::vector<File> files_of(std::string_view input) {
  std::vector<File> files;
  std::string name;
  for (;;) {
    const size_t end = next_mark(input);
    files.push_back({name, std::string(input.substr(0, end))});
    if (end == input.size()) return files;
    input.remove_prefix(end + mark.size());
    const size_t line = std::min(input.find('\n'), input.size());
    name = input.substr(0, line);
    input.remove_prefix(std::min(line + 1, input.size()));
  }
}

const std::string* find_file(const std::vector<File>& files, std::string_view name) noexcept {
  const auto found = std::ranges::find(files, name, &File::name);
  return found == files.end() ? nullptr : &found->text;
}

std::string input_of(const std::vector<File>& files) {
  std::string out;
  for (const File& file : files) {
    if (!file.name.empty()) out += std::string(mark) + file.name + "\n";
    out += file.text;
    if (!out.ends_with('\n')) out += '\n';
  }
  return out;
}

}  // namespace ktx::fuzz
