// Hugging Face directories: config.json, index, shards.
#include <algorithm>

#include "core/base/json.hpp"
#include "fuzz/input.hpp"
#include "fuzz/model_use.hpp"
#include "fuzz/targets.hpp"
#include "loader/files.hpp"

namespace ktx::fuzz {

namespace {

constexpr size_t max_files = 16;
constexpr uint64_t most_data = 1 << 20;

bool is_plain(std::string_view name) {
  return !name.empty() && name.size() < 100 && name.find_first_not_of('.') != std::string::npos &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
}

// Where the last tensor of a shard ends, as its header says.
uint64_t end_of_data(const std::string& header) {
  uint64_t end = 0;
  const auto json = Json::parse(header, nullptr, false);
  if (!json.is_object()) return 0;
  for (const auto& entry : json) {
    const auto offsets = entry.is_object() ? entry.find("data_offsets") : entry.end();
    if (offsets == entry.end() || !offsets->is_array() || offsets->size() != 2) continue;
    if ((*offsets)[1].is_number_unsigned()) end = std::max(end, (*offsets)[1].get<uint64_t>());
  }
  return end;
}

// A shard that is given by its header alone gets the length before it, and zeros after it.
void write_shard(const loader::TempDir& folder, const std::string& name,
                 const std::string& header) {
  const std::string bytes = loader::raw<uint64_t>(header.size()) + header;
  const auto file = folder.write(name, bytes);
  std::filesystem::resize_file(file, bytes.size() + std::min(end_of_data(header), most_data));
}

}  // namespace

// The file without a name is left out.
void use_safetensors(std::string_view input) {
  const loader::TempDir folder;
  const auto files = files_of(input);
  for (size_t i = 0; i < std::min(files.size(), max_files); ++i) {
    const auto& [name, text] = files[i];
    if (!is_plain(name)) continue;
    if (name.ends_with(".safetensors") && text.starts_with('{'))
      write_shard(folder, name, text);
    else
      folder.write(name, text);
  }
  use_checkpoint(folder.path());
}

}  // namespace ktx::fuzz
