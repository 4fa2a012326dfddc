// Tells checkpoint kinds apart and opens them.
#include "loader/checkpoint.hpp"

#include <string>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/file_reader.hpp"
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

// Notes for a directory that lacks a file: the GGUF files that it holds instead.
std::vector<std::string> gguf_notes(const fs::path& directory) {
  std::string first;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(directory, ec)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".gguf" && (first.empty() || name < first)) first = name;
  }
  if (first.empty()) return {};
  return {"the directory holds '" + first + "': give that file to open a GGUF model"};
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
  if (!is_there(path / "config.json"))
    throw_input("expected a Hugging Face directory, found no config.json in it", path.string(),
                gguf_notes(path));
  return std::make_unique<FileSource>(open_safetensors(path, options));
}

TokenizerFiles read_tokenizer_files(const fs::path& path) {
  TokenizerFiles files;
  if (!names_directory(path)) {
    files.gguf = read_gguf_metadata(base::FileReader(path));
    return files;
  }
  if (!is_there(path / "tokenizer.json"))
    throw_input("expected a directory with a tokenizer.json, found none in it", path.string(),
                gguf_notes(path));
  files.tokenizer = base::read_json(path / "tokenizer.json");
  files.tokenizer_config = read_optional_json(path / "tokenizer_config.json");
  files.config = read_optional_json(path / "config.json");
  files.generation_config = read_optional_json(path / "generation_config.json");
  return files;
}

}  // namespace ktx::loader
