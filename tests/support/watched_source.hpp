// A checkpoint seen through a wrapper that tests can watch and disturb.
#pragma once

#include <atomic>
#include <memory>

#include "loader/checkpoint.hpp"

namespace ktx::test {

/// Counts the rows that are read, and passes everything on.
class WatchedSource : public loader::TensorSource {
 public:
  explicit WatchedSource(std::unique_ptr<loader::TensorSource> source)
      : source_(std::move(source)) {}

  mutable std::atomic<int64_t> bytes_read{0};
  std::string stamp_suffix;  // as if the files had changed

  loader::CheckpointKind kind() const noexcept override { return source_->kind(); }
  const std::filesystem::path& path() const noexcept override { return source_->path(); }
  const Json& config() const noexcept override { return source_->config(); }
  const Json& generation_config() const noexcept override { return source_->generation_config(); }
  const Json& tokenizer() const noexcept override { return source_->tokenizer(); }
  const Json& tokenizer_config() const noexcept override { return source_->tokenizer_config(); }
  std::span<const graph::TensorMeta> tensors() const noexcept override {
    return source_->tensors();
  }
  const graph::TensorMeta* find(std::string_view name) const noexcept override {
    return source_->find(name);
  }
  std::string why_missing(std::string_view name) const override {
    return source_->why_missing(name);
  }
  uint64_t tensor_bytes(const graph::TensorMeta& meta) const override {
    return source_->tensor_bytes(meta);
  }
  size_t scratch_bytes(const graph::TensorMeta& meta, int64_t first_row,
                       int64_t rows) const override {
    return source_->scratch_bytes(meta, first_row, rows);
  }
  const std::byte* rows(const graph::TensorMeta& meta, int64_t first_row, int64_t rows,
                        std::span<std::byte> scratch) const override {
    bytes_read += rows * quant::row_bytes(meta.format, loader::matrix_cols(meta));
    return source_->rows(meta, first_row, rows, scratch);
  }
  std::string stamp(const graph::TensorMeta& meta) const override {
    return source_->stamp(meta) + stamp_suffix;
  }

 private:
  std::unique_ptr<loader::TensorSource> source_;
};

}  // namespace ktx::test
