// The interface to a checkpoint: its configuration, the list of its tensors, and their rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"
#include "core/graph/module.hpp"

namespace ktx::loader {

enum class CheckpointKind { gguf, safetensors };

struct OpenOptions {
  /// For planning: tensor data may be missing or truncated. The headers must be complete; rows() of
  /// a tensor whose data is missing throws an input error.
  bool header_only = false;
  /// KEY=VALUE: members of config.json ("rope_scaling.factor=40"), or keys of the GGUF metadata.
  std::vector<std::string> overrides = {};
};

/// A checkpoint that was opened and checked: all byte ranges are inside its files. All functions
/// may be called from several threads at once.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  virtual CheckpointKind kind() const noexcept = 0;
  /// As given to open_checkpoint: a directory, or the (first) GGUF file.
  virtual const std::filesystem::path& path() const noexcept = 0;

  /// Hugging Face: the object of config.json. GGUF: an object of the metadata, key -> value in file
  /// order, arrays as JSON arrays, integers and floats kept apart; of split files the first one's,
  /// without the split.* keys.
  virtual const Json& config() const noexcept = 0;
  /// The files of that name beside config.json; null when absent, and always for GGUF.
  virtual const Json& generation_config() const noexcept = 0;
  virtual const Json& tokenizer() const noexcept = 0;
  virtual const Json& tokenizer_config() const noexcept = 0;

  /// Every tensor that ktx can read, in file order. The block scales of FP8 tensors are part of
  /// their tensors and not listed.
  virtual std::span<const graph::TensorMeta> tensors() const noexcept = 0;
  /// The tensor of that name, or nullptr.
  virtual const graph::TensorMeta* find(std::string_view name) const noexcept = 0;
  /// Names of tensors that exist, or are said to exist, but that ktx can't read.
  virtual std::vector<std::string> unread() const { return {}; }
  /// Why find(name) returns nullptr: "is not in the checkpoint", or why ktx can't read it.
  virtual std::string why_missing(std::string_view name) const = 0;

  /// Bytes of all rows in the layout of rows(). meta: one of tensors().
  virtual uint64_t tensor_bytes(const graph::TensorMeta& meta) const = 0;
  /// Bytes of scratch that rows() needs for `rows` rows from first_row on.
  virtual size_t scratch_bytes(const graph::TensorMeta& meta, int64_t first_row,
                               int64_t rows) const = 0;

  /// Reads rows [first_row, first_row + rows) of the tensor seen as a matrix [matrix_rows,
  /// matrix_cols], in the row layout of its format: rows * quant::row_bytes(format, cols) bytes
  /// somewhere inside scratch, which must have scratch_bytes(), or in memory of the source's own.
  /// The pointer is aligned to 4 bytes for f32 and 2 for f16 and bf16; rows of blocks may start at
  /// any address. Throws input error when the file no longer holds them, or can't be read; rows
  /// outside of the tensor, or too small a scratch, are a `bug` error.
  virtual const std::byte* rows(const graph::TensorMeta& meta, int64_t first_row, int64_t rows,
                                std::span<std::byte> scratch) const = 0;

  /// A text that identifies the tensor's bytes without reading them: their position in which state
  /// of a file (base::ByteSource::stamp), and how they are made into rows.
  virtual std::string stamp(const graph::TensorMeta& meta) const = 0;
};

/// Product of all dimensions but the last (1 for vectors and scalars), and the last (1 for
/// scalars).
int64_t matrix_rows(const graph::TensorMeta& meta) noexcept;
int64_t matrix_cols(const graph::TensorMeta& meta) noexcept;

/// A copy of some rows, for small tensors: as TensorSource::rows().
std::vector<std::byte> read_rows(const TensorSource& source, const graph::TensorMeta& meta,
                                 int64_t first_row, int64_t rows);

/// path: a .gguf file, the first file of a split (x-00001-of-00003.gguf), or a Hugging Face
/// directory: config.json with model.safetensors, with model.safetensors.index.json and shards, or
/// with shards alone (model-00001-of-00003.safetensors); or a directory of one GGUF model.
/// The files are untrusted: whatever is wrong in them is one input error that names the file, the
/// tensor or metadata key, what was expected and what was found.
std::unique_ptr<TensorSource> open_checkpoint(const std::filesystem::path& path,
                                              const OpenOptions& options = {});

/// The files of a tokenizer; null or empty if absent.
struct TokenizerFiles {
  std::filesystem::path file;  // that has the vocabulary
  Json gguf;                   // the metadata, when it is a GGUF file; then the others are null
  Json tokenizer;              // of tokenizer.json
  std::string tiktoken;        // the text of tiktoken.model
  Json tokenizer_config, config, generation_config;  // of the files beside it
};

/// Reads no weights. path: a GGUF file (cut off after its metadata or not), a tokenizer.json, a
/// tiktoken.model, or a directory with one of the last two. Throws input error when there is none.
TokenizerFiles read_tokenizer_files(const std::filesystem::path& path);

}  // namespace ktx::loader
