// Shards, their index, and tensors that several of the files' make up.
#include "loader/safetensors.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/json.hpp"
#include "core/base/name_map.hpp"
#include "loader/composed.hpp"
#include "loader/overrides.hpp"
#include "loader/quantization.hpp"
#include "loader/safetensors_header.hpp"

namespace ktx::loader {
namespace fs = std::filesystem;

namespace {

constexpr const char* single_name = "model.safetensors";
constexpr const char* index_name = "model.safetensors.index.json";

// The weight_map of an index: which shard holds a tensor.
struct Index {
  struct Shard {
    std::string file, first_tensor;
    size_t tensors = 0;
  };
  base::NameMap<size_t> shard_of;  // tensor -> position in shards
  std::vector<Shard> shards;       // in order of appearance
};

bool is_plain_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

Index read_index(const fs::path& file) {
  const Json json = base::read_json(file);
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (map == json.end() || !map->is_object())
    throw_input("expected an object with an object 'weight_map'", file.string());
  Index index;
  base::NameMap<size_t> shard_numbers;
  for (const auto& [tensor, shard] : map->items()) {
    const std::string name = shard.is_string() ? shard.get<std::string>() : "";
    if (!is_plain_file_name(name))
      throw_input("tensor '" + tensor + "': expected the name of a shard, found " +
                      base::dump_json(shard).substr(0, 80),
                  file.string());
    const auto [at, fresh] = shard_numbers.emplace(name, index.shards.size());
    if (fresh) index.shards.push_back({name, tensor, 0});
    ++index.shards[at->second].tensors;
    index.shard_of.emplace(tensor, at->second);
  }
  return index;
}

// Shards that lie in the directory, by name; of a numbered set whose files are not all there the
// names that are missing too.
struct Shards {
  std::vector<std::string> there, missing;
};

Shards list_shards(const fs::path& directory) {
  std::map<int, std::string> numbered;
  int count = 0;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(directory, ec)) {
    const std::string name = entry.path().filename().string();
    int number = 0, of = 0, end = 0;
    if (std::sscanf(name.c_str(), "model-%5d-of-%5d.safetensors%n", &number, &of, &end) != 2 ||
        static_cast<size_t>(end) != name.size())
      continue;
    numbered[number] = name;
    count = std::max(count, of);
  }
  Shards shards;
  for (int number = 1; number <= count; ++number) {
    std::array<char, 64> name{};
    std::snprintf(name.data(), name.size(), "model-%05d-of-%05d.safetensors", number, count);
    (numbered.contains(number) ? shards.there : shards.missing).emplace_back(name.data());
  }
  return shards;
}

class DirectoryReader {
 public:
  DirectoryReader(const fs::path& directory, const OpenOptions& options) : options_(options) {
    contents_.kind = CheckpointKind::safetensors;
    contents_.path = directory;
    contents_.header_only = options.header_only;
  }

  CheckpointContents read();

 private:
  void read_configs();
  void read_indexed(const fs::path& index_file);
  void read_files(const std::vector<std::string>& names);
  std::vector<FoundTensor> open(const std::string& name);
  void sort_out(const Index& index, size_t shard);
  void note_absent(const Index& index);
  void join_parts(const Quantization& quantization);
  void add_tensor(const FoundTensor& found);

  const OpenOptions& options_;
  CheckpointContents contents_;
  std::vector<FoundTensor> found_;
  base::NameMap<size_t> by_name_;  // positions in found_
  base::NameSet<> joined_;         // names of tensors that were made from parts
};

CheckpointContents DirectoryReader::read() {
  read_configs();
  const fs::path& directory = contents_.path;
  const auto quantization =
      read_quantization(contents_.config, (directory / "config.json").string());
  contents_.assembling = to_text(quantization);
  std::error_code ec;
  if (fs::exists(directory / single_name, ec)) {
    read_files({single_name});
  } else if (fs::exists(directory / index_name, ec)) {
    read_indexed(directory / index_name);
  } else {
    Shards shards = list_shards(directory);
    contents_.missing_files = std::move(shards.missing);
    read_files(shards.there);
  }
  for (size_t i = 0; i < found_.size(); ++i) by_name_.emplace(found_[i].entry.name, i);
  join_parts(quantization);
  for (const FoundTensor& found : found_) add_tensor(found);
  return std::move(contents_);
}

void DirectoryReader::read_configs() {
  const fs::path config = contents_.path / "config.json";
  contents_.config = base::read_json(config);
  if (!contents_.config.is_object()) throw_input("expected a JSON object", config.string());
  apply_overrides(contents_.config, options_.overrides, CheckpointKind::safetensors);
  contents_.generation_config = read_optional_json(contents_.path / "generation_config.json");
  contents_.tokenizer = read_optional_json(contents_.path / "tokenizer.json");
  contents_.tokenizer_config = read_optional_json(contents_.path / "tokenizer_config.json");
}

std::vector<FoundTensor> DirectoryReader::open(const std::string& name) {
  SafetensorsFile file(contents_.path / name, contents_.header_only);
  std::vector<FoundTensor> found;
  auto entries = file.entries();
  const std::string where = file.path().string();
  contents_.files.push_back(file.take_file());
  for (auto& entry : entries)
    found.push_back(
        {contents_.files.size() - 1, contents_.files.back().get(), where, std::move(entry)});
  return found;
}

void DirectoryReader::read_files(const std::vector<std::string>& names) {
  base::NameMap<std::string> holders;
  for (const auto& name : names)
    for (auto& tensor : open(name)) {
      const auto [first, fresh] = holders.emplace(tensor.entry.name, tensor.where);
      if (!fresh)
        throw_input("tensor '" + tensor.entry.name + "': is also in " + first->second,
                    tensor.where);
      found_.push_back(std::move(tensor));
    }
}

// A shard that is missing matters if a tensor that is needed is in it.
void DirectoryReader::read_indexed(const fs::path& index_file) {
  const Index index = read_index(index_file);
  for (size_t i = 0; i < index.shards.size(); ++i) {
    std::error_code ec;
    if (fs::exists(contents_.path / index.shards[i].file, ec)) sort_out(index, i);
  }
  note_absent(index);
}

// Names that the index has and no shard. A shard that is there can't have lost them: the index is
// older, or younger, than it.
void DirectoryReader::note_absent(const Index& index) {
  base::NameSet<std::string_view> there;
  for (const FoundTensor& found : found_) there.insert(found.entry.name);
  for (const auto& [name, shard] : index.shard_of) {
    if (there.contains(name)) continue;
    const std::string& file = index.shards[shard].file;
    std::error_code ec;
    if (fs::exists(contents_.path / file, ec))
      contents_.passed.emplace(
          name, std::string("is not in ") + file + ", where " + index_name + " puts it");
    else
      contents_.unlisted.emplace(name, "is in " + file + ", which is missing");
  }
}

// Keeps the tensors that the index puts into this shard.
void DirectoryReader::sort_out(const Index& index, size_t shard) {
  for (auto& tensor : open(index.shards[shard].file)) {
    const auto place = index.shard_of.find(tensor.entry.name);
    if (place == index.shard_of.end())
      contents_.unlisted.emplace(
          tensor.entry.name, "is in " + index.shards[shard].file + ", but not in " + index_name);
    else if (place->second == shard)
      found_.push_back(std::move(tensor));
  }
}

// Tensors that several of the files' make up, and what then is theirs.
void DirectoryReader::join_parts(const Quantization& quantization) {
  const FindTensor find = [this](const std::string& name) {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : &found_[found->second];
  };
  for (const FoundTensor& found : found_) {
    auto composed = compose(found, find, quantization);
    if (!composed) continue;
    if (composed->tensor)
      contents_.tensors.push_back(std::move(*composed->tensor));
    else
      contents_.unlisted.emplace(composed->name, composed->problem);
    for (const auto& part : composed->parts)
      if (part != composed->name)
        contents_.passed.emplace(part, "is a part of tensor '" + composed->name + "'");
      else
        joined_.insert(part);
  }
}

void DirectoryReader::add_tensor(const FoundTensor& found) {
  const SafetensorsEntry& entry = found.entry;
  if (joined_.contains(entry.name) || contents_.passed.contains(entry.name)) return;
  const auto format = format_of_dtype(entry.dtype);
  if (!format) {
    contents_.unlisted.emplace(
        entry.name, "has dtype " + entry.dtype + "; ktx reads BF16, F16, F32 and F8_E4M3");
    return;
  }
  FileTensor tensor;
  tensor.meta.name = entry.name;
  tensor.meta.format = *format;
  tensor.meta.shape = entry.shape;
  tensor.meta.where = found.where;
  tensor.data = {found.file, entry.offset, entry.size};
  contents_.tensors.push_back(std::move(tensor));
}

}  // namespace

bool has_safetensors(const fs::path& directory) {
  std::error_code ec;
  return fs::exists(directory / single_name, ec) || fs::exists(directory / index_name, ec) ||
         !list_shards(directory).there.empty();
}

Json read_optional_json(const fs::path& file) {
  std::error_code ec;
  return fs::exists(file, ec) ? base::read_json(file) : Json();
}

CheckpointContents open_safetensors(const fs::path& directory, const OpenOptions& options) {
  return DirectoryReader(directory, options).read();
}

}  // namespace ktx::loader
