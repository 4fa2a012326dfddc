// One input that stands for several files: each begins after a line "@@ NAME". What comes before
// the first such line is the file without a name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ktx::fuzz {

struct File {
  std::string name, text;
};

std::vector<File> files_of(std::string_view input);

/// The text of the first file of that name; nullptr when there is none.
const std::string* find_file(const std::vector<File>& files, std::string_view name) noexcept;

/// What files_of() reads as these files.
std::string input_of(const std::vector<File>& files);

}  // namespace ktx::fuzz
