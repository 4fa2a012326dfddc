// The TensorSource over files, or what stands for them, that all kinds of checkpoints share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/byte_source.hpp"
#include "core/base/name_map.hpp"
#include "loader/assembly.hpp"
#include "loader/checkpoint.hpp"

namespace ktx::loader {

/// A tensor and where its rows lie, or what makes them.
struct FileTensor {
  graph::TensorMeta meta;
  FileRange data = {};
  std::shared_ptr<const Assembly> assembly = {};  // null: data holds the rows
};

/// What a reader of a checkpoint kind found. Every range lies inside its file unless header_only.
struct CheckpointContents {
  CheckpointKind kind = CheckpointKind::gguf;
  std::filesystem::path path;
  bool header_only = false;
  Json config, generation_config, tokenizer, tokenizer_config;
  std::vector<std::unique_ptr<const base::ByteSource>> files;
  std::vector<FileTensor> tensors;         // names are unique
  base::NameMap<std::string> unlisted;     // name -> why ktx does not read it
  base::NameMap<std::string> passed;       // name -> why nobody misses it
  std::vector<std::string> missing_files;  // which may hold more tensors
  std::string assembling;  // tells how assemblies make rows, as far as no file range does
};

class FileSource final : public TensorSource {
 public:
  explicit FileSource(CheckpointContents contents);

  CheckpointKind kind() const noexcept override { return c_.kind; }
  const std::filesystem::path& path() const noexcept override { return c_.path; }
  const Json& config() const noexcept override { return c_.config; }
  const Json& generation_config() const noexcept override { return c_.generation_config; }
  const Json& tokenizer() const noexcept override { return c_.tokenizer; }
  const Json& tokenizer_config() const noexcept override { return c_.tokenizer_config; }
  std::span<const graph::TensorMeta> tensors() const noexcept override { return metas_; }
  const graph::TensorMeta* find(std::string_view name) const noexcept override;
  std::vector<std::string> unread() const override;
  std::string why_missing(std::string_view name) const override;
  uint64_t tensor_bytes(const graph::TensorMeta& meta) const override;
  size_t scratch_bytes(const graph::TensorMeta& meta, int64_t first_row,
                       int64_t rows) const override;
  const std::byte* rows(const graph::TensorMeta& meta, int64_t first_row, int64_t rows,
                        std::span<std::byte> scratch) const override;
  std::string stamp(const graph::TensorMeta& meta) const override;

 private:
  struct Place {
    FileRange data;
    std::shared_ptr<const Assembly> assembly;

    std::vector<FileRange> ranges() const {
      return assembly ? assembly->ranges() : std::vector{data};
    }
  };
  const Place& place(const graph::TensorMeta& meta) const;
  FileRange part(const graph::TensorMeta& meta, int64_t first_row, int64_t rows) const;
  bool is_there(const FileRange& range) const noexcept;
  std::string missing_files() const;
  void check_names() const;
  void check_sums() const;

  CheckpointContents c_;  // its tensors are moved into the two vectors below
  std::vector<graph::TensorMeta> metas_;
  std::vector<Place> places_;
  base::NameMap<size_t, std::string_view> by_name_;  // keys point into metas_
};

}  // namespace ktx::loader
