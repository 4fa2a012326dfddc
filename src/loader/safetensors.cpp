// Shards, their index, and FP8 tensors joined with their block scales.
#include "loader/safetensors.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/json.hpp"
#include "loader/safetensors_header.hpp"
#include "loader/tensor_shape.hpp"

namespace ktx::loader {
namespace fs = std::filesystem;

namespace {

constexpr const char* single_name = "model.safetensors";
constexpr const char* index_name = "model.safetensors.index.json";
constexpr std::string_view scale_suffix = "_scale_inv";

// The weight_map of an index: which shard holds a tensor.
struct Index {
  struct Shard {
    std::string file, first_tensor;
    size_t tensors = 0;
  };
  std::unordered_map<std::string, size_t> shard_of;  // tensor -> position in shards
  std::vector<Shard> shards;                         // in order of appearance
};

// A tensor as a shard's header has it, before it is decided what ktx makes of it.
struct Found {
  size_t file;
  SafetensorsEntry entry;
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
  std::unordered_map<std::string, size_t> shard_numbers;
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

class DirectoryReader {
 public:
  DirectoryReader(const fs::path& directory, const OpenOptions& options) {
    contents_.kind = CheckpointKind::safetensors;
    contents_.path = directory;
    contents_.header_only = options.header_only;
  }

  CheckpointContents read();

 private:
  void read_configs();
  void read_indexed(const fs::path& index_file);
  void add_file(SafetensorsFile& file) {
    paths_.push_back(file.path());
    contents_.files.push_back(file.take_file());
  }
  void read_single(const fs::path& file);
  [[noreturn]] void fail_absent(const Index& index) const;
  void sort_out(const Index& index, size_t shard, std::vector<SafetensorsEntry>&& entries);
  void add_tensor(const Found& found);
  FileRange scales_of(const Found& found) const;
  void check_block_size() const;
  bool is_scale(const std::string& name) const;
  std::string where(const Found& found) const { return paths_[found.file].string(); }

  CheckpointContents contents_;
  std::vector<fs::path> paths_;  // of the files
  std::vector<Found> found_;
  std::unordered_map<std::string, size_t> by_name_;  // positions in found_
};

CheckpointContents DirectoryReader::read() {
  read_configs();
  const fs::path& directory = contents_.path;
  std::error_code ec;
  if (fs::exists(directory / single_name, ec))
    read_single(directory / single_name);
  else if (fs::exists(directory / index_name, ec))
    read_indexed(directory / index_name);
  else
    throw_input(std::string("expected ") + single_name + " or " + index_name +
                    " in the directory, found neither",
                directory.string());
  for (size_t i = 0; i < found_.size(); ++i) by_name_.emplace(found_[i].entry.name, i);
  if (std::ranges::any_of(found_, [](const Found& f) { return f.entry.dtype == "F8_E4M3"; }))
    check_block_size();
  for (const Found& found : found_) add_tensor(found);
  return std::move(contents_);
}

void DirectoryReader::read_configs() {
  const fs::path config = contents_.path / "config.json";
  contents_.config = base::read_json(config);
  if (!contents_.config.is_object()) throw_input("expected a JSON object", config.string());
  contents_.generation_config = read_optional_json(contents_.path / "generation_config.json");
  contents_.tokenizer = read_optional_json(contents_.path / "tokenizer.json");
  contents_.tokenizer_config = read_optional_json(contents_.path / "tokenizer_config.json");
}

void DirectoryReader::read_single(const fs::path& file) {
  SafetensorsFile shard(file, contents_.header_only);
  for (const auto& entry : shard.entries()) found_.push_back({0, entry});
  add_file(shard);
}

void DirectoryReader::read_indexed(const fs::path& index_file) {
  const Index index = read_index(index_file);
  for (size_t i = 0; i < index.shards.size(); ++i) {
    const auto& shard = index.shards[i];
    const fs::path file = contents_.path / shard.file;
    std::error_code ec;
    if (!fs::exists(file, ec))
      throw_input("the shard is missing: " + std::string(index_name) + " puts tensor '" +
                      shard.first_tensor + "' into it (" + std::to_string(shard.tensors) +
                      " tensors in all)",
                  file.string());
    SafetensorsFile opened(file, contents_.header_only);
    std::vector<SafetensorsEntry> entries = opened.entries();
    add_file(opened);
    sort_out(index, i, std::move(entries));
  }
  if (found_.size() != index.shard_of.size()) fail_absent(index);
}

// Throws for the first tensor, by name, that the index has and its shard has not.
void DirectoryReader::fail_absent(const Index& index) const {
  std::unordered_set<std::string_view> there;
  for (const Found& found : found_) there.insert(found.entry.name);
  const std::pair<const std::string, size_t>* first = nullptr;
  for (const auto& entry : index.shard_of)
    if (!there.contains(entry.first) && (first == nullptr || entry.first < first->first))
      first = &entry;
  require(first != nullptr, "an index with fewer tensors than its shards hold of them");
  throw_input("tensor '" + first->first + "': " + index_name +
                  " puts it into this shard, which has no such tensor",
              (contents_.path / index.shards[first->second].file).string());
}

// Keeps the entries that the index puts into this shard.
void DirectoryReader::sort_out(const Index& index, size_t shard,
                               std::vector<SafetensorsEntry>&& entries) {
  for (auto& entry : entries) {
    const auto place = index.shard_of.find(entry.name);
    if (place == index.shard_of.end())
      contents_.unlisted.emplace(
          entry.name, "is in " + index.shards[shard].file + ", but not in " + index_name);
    else if (place->second == shard)
      found_.push_back({shard, std::move(entry)});
  }
}

bool DirectoryReader::is_scale(const std::string& name) const {
  if (!name.ends_with(scale_suffix)) return false;
  const auto owner = by_name_.find(name.substr(0, name.size() - scale_suffix.size()));
  return owner != by_name_.end() && found_[owner->second].entry.dtype == "F8_E4M3";
}

void DirectoryReader::add_tensor(const Found& found) {
  const SafetensorsEntry& entry = found.entry;
  const auto format = format_of_dtype(entry.dtype);
  if (!format) {
    contents_.unlisted.emplace(
        entry.name, "has dtype " + entry.dtype + "; ktx reads BF16, F16, F32 and F8_E4M3");
    return;
  }
  if (is_scale(entry.name)) {
    contents_.parts.emplace(entry.name, "holds the block scales of an F8_E4M3 tensor");
    return;
  }
  FileTensor tensor;
  tensor.meta.name = entry.name;
  tensor.meta.format = *format;
  tensor.meta.shape = entry.shape;
  tensor.meta.where = where(found);
  tensor.data = {found.file, entry.offset, entry.size};
  if (*format == quant::Format::fp8) tensor.scales = scales_of(found);
  contents_.tensors.push_back(std::move(tensor));
}

void DirectoryReader::check_block_size() const {
  const auto quantization = contents_.config.find("quantization_config");
  if (quantization == contents_.config.end() || !quantization->is_object()) return;
  const std::string where = (contents_.path / "config.json").string();
  const auto block = quantization->find("weight_block_size");
  if (block != quantization->end() && *block != Json::array({128, 128}))
    throw_input("quantization_config.weight_block_size: expected [128, 128], found " +
                    base::dump_json(*block).substr(0, 80),
                where);
  const auto fmt = quantization->find("fmt");
  if (fmt != quantization->end() && *fmt != "e4m3")
    throw_input(
        "quantization_config.fmt: expected \"e4m3\", found " + base::dump_json(*fmt).substr(0, 80),
        where);
}

FileRange DirectoryReader::scales_of(const Found& found) const {
  const auto& shape = found.entry.shape;
  const std::string name = found.entry.name + std::string(scale_suffix);
  const std::string subject =
      "tensor '" + found.entry.name + "' (F8_E4M3 " + shape_text(shape) + ")";
  if (shape.size() < 2) throw_input(subject + ": expected a matrix", where(found));
  std::vector<int64_t> expected = shape;
  for (size_t i = shape.size() - 2; i < shape.size(); ++i) expected[i] = (shape[i] + 127) / 128;
  const auto scales = by_name_.find(name);
  if (scales == by_name_.end())
    throw_input(subject + ": its scales are missing: expected tensor '" + name + "' (F32 " +
                    shape_text(expected) + ")",
                where(found));
  const Found& holder = found_[scales->second];
  if (holder.entry.dtype != "F32" || holder.entry.shape != expected)
    throw_input("tensor '" + name + "': expected F32 " + shape_text(expected) + ", the scales of " +
                    subject + ", found " + holder.entry.dtype + " " +
                    shape_text(holder.entry.shape),
                where(holder));
  return {holder.file, holder.entry.offset, holder.entry.size};
}

}  // namespace

Json read_optional_json(const fs::path& file) {
  std::error_code ec;
  return fs::exists(file, ec) ? base::read_json(file) : Json();
}

CheckpointContents open_safetensors(const fs::path& directory, const OpenOptions& options) {
  return DirectoryReader(directory, options).read();
}

}  // namespace ktx::loader
