// Split GGUF files: x-00001-of-00003.gguf and its fellows, joined into one checkpoint.
#include "loader/gguf.hpp"

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/json.hpp"
#include "core/base/name_map.hpp"
#include "loader/gguf_header.hpp"
#include "loader/overrides.hpp"

namespace ktx::loader {
namespace fs = std::filesystem;

namespace {

constexpr std::string_view split_prefix = "split.";
constexpr uint64_t max_parts = 99999;  // five digits in the file name

std::string part_suffix(uint64_t part, uint64_t parts) {
  char text[64];
  std::snprintf(text, sizeof text, "-%05llu-of-%05llu.gguf", static_cast<unsigned long long>(part),
                static_cast<unsigned long long>(parts));
  return text;
}

// An integer of the metadata; `otherwise` when the key is missing.
uint64_t count_of(const Json& metadata, const char* key, uint64_t otherwise, const fs::path& file) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return otherwise;
  if (!found->is_number_integer() || (!found->is_number_unsigned() && found->get<int64_t>() < 0))
    throw_input("metadata '" + std::string(key) + "': expected a count, found " +
                    base::dump_json(*found).substr(0, 40),
                file.string());
  return found->get<uint64_t>();
}

// The name of a split's first file without the part number.
std::string split_stem(const fs::path& first, uint64_t parts, uint64_t number) {
  if (parts > max_parts)
    throw_input("metadata 'split.count': expected at most " + std::to_string(max_parts) +
                    " files, found " + std::to_string(parts),
                first.string());
  const std::string name = first.filename().string();
  const std::string mine = part_suffix(number + 1, parts);
  if (!name.ends_with(mine))
    throw_input("file " + std::to_string(number + 1) + " of a split into " + std::to_string(parts) +
                    ": expected its name to end in '" + mine + "'",
                first.string());
  const std::string stem = name.substr(0, name.size() - mine.size());
  if (number != 0)
    throw_input("file " + std::to_string(number + 1) + " of a split into " + std::to_string(parts) +
                    ": expected the first one",
                first.string(), {"the first one is '" + stem + part_suffix(1, parts) + "'"});
  return stem;
}

// Opens a file of the checkpoint and reads its header.
GgufHeader open_file(CheckpointContents& contents, const fs::path& file) {
  auto reader = std::make_unique<base::FileReader>(file);
  GgufHeader header = read_gguf_header(*reader, contents.header_only);
  contents.files.push_back(std::move(reader));
  return header;
}

// Adds the tensors of the file that was opened last.
void add_tensors(CheckpointContents& contents, const std::string& where,
                 std::vector<GgufTensor>&& tensors) {
  const size_t file = contents.files.size() - 1;
  for (auto& tensor : tensors) {
    if (!tensor.unread.empty()) {
      contents.unlisted.emplace(std::move(tensor.name), std::move(tensor.unread));
      continue;
    }
    FileTensor added;
    added.meta.name = std::move(tensor.name);
    added.meta.format = tensor.format;
    added.meta.shape = std::move(tensor.shape);
    added.meta.where = where;
    added.data = {file, tensor.offset, tensor.size};
    contents.tensors.push_back(std::move(added));
  }
}

void check_unique(const std::vector<FileTensor>& tensors) {
  base::NameMap<const FileTensor*, std::string_view> seen;
  for (const auto& tensor : tensors) {
    const auto [first, fresh] = seen.emplace(tensor.meta.name, &tensor);
    if (!fresh)
      throw_input("tensor '" + tensor.meta.name + "': is also in " + first->second->meta.where,
                  tensor.meta.where);
  }
}

void open_part(CheckpointContents& contents, const fs::path& file, uint64_t part, uint64_t parts) {
  std::error_code ec;
  if (!fs::exists(file, ec)) {  // it matters if a tensor that is needed is in it
    contents.missing_files.push_back(file.filename().string());
    return;
  }
  GgufHeader header = open_file(contents, file);
  const uint64_t number = count_of(header.metadata, "split.no", 0, file);
  const uint64_t count = count_of(header.metadata, "split.count", 1, file);
  if (number != part || count != parts)
    throw_input("expected split.no " + std::to_string(part) + " of split.count " +
                    std::to_string(parts) + ", found " + std::to_string(number) + " of " +
                    std::to_string(count),
                file.string());
  add_tensors(contents, file.string(), std::move(header.tensors));
}

}  // namespace

CheckpointContents open_gguf(const fs::path& file, const OpenOptions& options) {
  CheckpointContents contents;
  contents.kind = CheckpointKind::gguf;
  contents.path = file;
  contents.header_only = options.header_only;
  GgufHeader header = open_file(contents, file);
  apply_overrides(header.metadata, options.overrides, CheckpointKind::gguf);
  const uint64_t parts = count_of(header.metadata, "split.count", 1, file);
  const uint64_t number = count_of(header.metadata, "split.no", 0, file);
  const uint64_t all_tensors =
      count_of(header.metadata, "split.tensors.count", header.tensors.size(), file);
  contents.config = Json::object();
  for (auto& [key, value] : header.metadata.items())
    if (!std::string_view(key).starts_with(split_prefix))
      base::append(contents.config, key, std::move(value));
  add_tensors(contents, file.string(), std::move(header.tensors));
  if (parts <= 1) return contents;

  const std::string stem = split_stem(file, parts, number);
  for (uint64_t part = 1; part < parts; ++part)
    open_part(contents, file.parent_path() / (stem + part_suffix(part + 1, parts)), part, parts);
  const size_t found = contents.tensors.size() + contents.unlisted.size();
  if (contents.missing_files.empty() && found != all_tensors)
    throw_input("expected " + std::to_string(all_tensors) +
                    " tensors in the files of the split (split.tensors.count), found " +
                    std::to_string(found),
                file.string());
  check_unique(contents.tensors);
  return contents;
}

}  // namespace ktx::loader
