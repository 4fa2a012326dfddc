// The files of a synthetic checkpoint.
#include "engine/synth/files.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "engine/synth/vocabulary.hpp"
#include "loader/gguf_writer.hpp"
#include "loader/safetensors_writer.hpp"

namespace ktx::engine {
namespace {

TensorFile gguf_file(const Recipe& recipe, std::vector<SynthTensor> tensors) {
  std::vector<graph::TensorMeta> metas;
  for (const SynthTensor& tensor : tensors)
    metas.push_back({.name = tensor.name, .format = tensor.numbers.format, .shape = tensor.shape});
  return {.layout = loader::gguf_layout(full_config(recipe), metas), .tensors = std::move(tensors)};
}

std::vector<std::vector<SynthTensor>> shards(std::vector<SynthTensor> tensors,
                                             uint64_t shard_bytes) {
  std::vector<std::vector<SynthTensor>> out;
  uint64_t room = 0;
  for (SynthTensor& tensor : tensors) {
    const uint64_t bytes = tensor.bytes();
    if (out.empty() || bytes > room) {
      out.emplace_back();
      room = shard_bytes;
    }
    room -= std::min(room, bytes);
    out.back().push_back(std::move(tensor));
  }
  return out;
}

TensorFile safetensors_file(std::string name, std::vector<SynthTensor> tensors) {
  std::vector<loader::SafetensorsTensor> entries;
  for (const SynthTensor& tensor : tensors)
    entries.push_back({tensor.name, tensor.dtype(), tensor.shape});
  return {std::move(name), loader::safetensors_layout(entries), std::move(tensors)};
}

std::string shard_name(size_t shard, size_t shards) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard + 1, shards);
  return name;
}

Json index_of(const std::vector<TensorFile>& files) {
  Json names = Json::object();
  uint64_t bytes = 0;
  for (const TensorFile& file : files)
    for (const SynthTensor& tensor : file.tensors) {
      base::append(names, tensor.name, file.name);
      bytes += tensor.bytes();
    }
  return {{"metadata", {{"total_size", bytes}}}, {"weight_map", std::move(names)}};
}

CheckpointFiles::Text text_file(std::string name, const Json& json) {
  return {std::move(name), base::dump_json(json, 2) + "\n"};
}

}  // namespace

uint64_t CheckpointFiles::bytes() const noexcept {
  uint64_t sum = 0;
  for (const TensorFile& file : tensors) sum += file.layout.size;
  for (const Text& file : texts) sum += file.content.size();
  return sum;
}

CheckpointFiles checkpoint_files(const Recipe& recipe, std::vector<SynthTensor> tensors,
                                 uint64_t shard_bytes) {
  CheckpointFiles files;
  if (recipe.naming == model::Naming::gguf) {
    files.tensors.push_back(gguf_file(recipe, std::move(tensors)));
    return files;
  }
  auto parts = shards(std::move(tensors), shard_bytes);
  for (size_t i = 0; i < parts.size(); ++i)
    files.tensors.push_back(safetensors_file(shard_name(i, parts.size()), std::move(parts[i])));
  files.texts = {text_file("config.json", full_config(recipe)),
                 text_file("model.safetensors.index.json", index_of(files.tensors)),
                 text_file("tokenizer.json", tokenizer_json(recipe.config)),
                 text_file("tokenizer_config.json", tokenizer_config(*recipe.model))};
  return files;
}

}  // namespace ktx::engine
