// Tells checkpoint kinds apart and opens them.
#include "loader/checkpoint.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/file.hpp"
#include "core/base/file_reader.hpp"
#include "core/base/text.hpp"
#include "loader/file_source.hpp"
#include "loader/gguf.hpp"
#include "loader/gguf_header.hpp"
#include "loader/safetensors.hpp"

namespace ktx::loader {
namespace fs = std::filesystem;

namespace {

bool is_there(const fs::path& path) {
  std::error_code ec;
  return fs::exists(path, ec);
}

// Whether path is a directory (Hugging Face) rather than a file (GGUF). Throws when it is neither.
bool names_directory(const fs::path& path) {
  std::error_code ec;
  const auto status = fs::status(path, ec);
  if (!fs::exists(status))
    throw_input("no such file or directory", path.string(),
                {"a model is a .gguf file, the first file of a split one, or a Hugging Face "
                 "directory with config.json and safetensors files"});
  if (fs::is_directory(status)) return true;
  if (path.extension() == ".safetensors")
    throw_input("a safetensors file alone is no model: expected its directory, with config.json",
                path.string());
  return false;
}

// The GGUF models of a directory: the first files of splits, or where there is none, single files.
std::vector<std::string> gguf_models(const fs::path& directory) {
  std::vector<std::string> firsts, singles;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(directory, ec)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".gguf" || name.starts_with("mmproj")) continue;
    if (name.find("-00001-of-") != std::string::npos)
      firsts.push_back(name);
    else if (name.find("-of-") == std::string::npos)
      singles.push_back(name);
  }
  auto& models = firsts.empty() ? singles : firsts;
  std::ranges::sort(models);
  return models;
}

}  // namespace

int64_t matrix_cols(const graph::TensorMeta& meta) noexcept {
  return meta.shape.empty() ? 1 : meta.shape.back();
}

int64_t matrix_rows(const graph::TensorMeta& meta) noexcept {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < meta.shape.size(); ++i) rows *= meta.shape[i];
  return rows;
}

std::vector<std::byte> read_rows(const TensorSource& source, const graph::TensorMeta& meta,
                                 int64_t first_row, int64_t rows) {
  std::vector<std::byte> scratch(source.scratch_bytes(meta, first_row, rows));
  const std::byte* from = source.rows(meta, first_row, rows, scratch);
  return {from, from + rows * quant::row_bytes(meta.format, matrix_cols(meta))};
}

std::unique_ptr<TensorSource> open_checkpoint(const fs::path& path, const OpenOptions& options) {
  if (!names_directory(path)) return std::make_unique<FileSource>(open_gguf(path, options));
  if (is_there(path / "config.json") && has_safetensors(path))
    return std::make_unique<FileSource>(open_safetensors(path, options));
  const auto models = gguf_models(path);
  if (models.size() == 1)
    return std::make_unique<FileSource>(open_gguf(path / models.front(), options));
  if (models.size() > 1)
    throw_input("the directory holds several GGUF models: give the file of one", path.string(),
                {"there are: " + base::join(models)});
  throw_input(std::string("expected a Hugging Face directory, found no ") +
                  (is_there(path / "config.json") ? "safetensors files" : "config.json") + " in it",
              path.string());
}

namespace {

// The file of a directory that holds the vocabulary.
fs::path vocabulary_file(const fs::path& directory) {
  for (const char* name : {"tokenizer.json", "tiktoken.model"})
    if (is_there(directory / name)) return directory / name;
  if (const auto models = gguf_models(directory); models.size() == 1)
    return directory / models.front();
  std::vector<std::string> notes;
  if (is_there(directory / "tokenizer.model"))
    notes.emplace_back("SentencePiece's tokenizer.model is not read; its tokenizer.json is");
  throw_input("expected a directory with a tokenizer.json or a tiktoken.model, found neither",
              directory.string(), std::move(notes));
}

}  // namespace

TokenizerFiles read_tokenizer_files(const fs::path& path) {
  if (!is_there(path))
    throw_input("no tokenizer: no such file or directory", path.string(),
                {"a tokenizer is a .gguf, tokenizer.json or tiktoken.model, or a directory with "
                 "one of them"});
  TokenizerFiles files;
  files.file = names_directory(path) ? vocabulary_file(path) : path;
  if (files.file.extension() == ".json") {
    files.tokenizer = base::read_json(files.file);
  } else if (files.file.extension() == ".model") {
    files.tiktoken = base::read_text(files.file);
  } else {
    files.gguf = read_gguf_metadata(base::FileReader(files.file));
    return files;
  }
  const auto beside = [&](const char* name) {
    return read_optional_json(fs::path(files.file).replace_filename(name));
  };
  files.tokenizer_config = beside("tokenizer_config.json");
  files.config = beside("config.json");
  files.generation_config = beside("generation_config.json");
  return files;
}

}  // namespace ktx::loader
