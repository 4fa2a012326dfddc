// Rows of tensors straight from mapped files, or assembled when the file's layout differs.
#include "loader/file_source.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/error.hpp"
#include "core/quant/blocks.hpp"

namespace ktx::loader {

namespace {

constexpr int64_t fp8_block = 128;  // rows and columns that share a scale

int64_t blocks_of(int64_t n) {
  return (n + fp8_block - 1) / fp8_block;
}

// What kernels may assume of a row's address.
size_t alignment_of(quant::Format format) {
  if (format == quant::Format::f32) return 4;
  if (format == quant::Format::f16 || format == quant::Format::bf16) return 2;
  return 1;
}

}  // namespace

FileSource::FileSource(CheckpointContents contents) : c_(std::move(contents)) {
  metas_.reserve(c_.tensors.size());
  places_.reserve(c_.tensors.size());
  for (auto& tensor : c_.tensors) {
    metas_.push_back(std::move(tensor.meta));
    places_.push_back({tensor.data, tensor.scales});
  }
  c_.tensors.clear();
  c_.tensors.shrink_to_fit();
  for (size_t i = 0; i < metas_.size(); ++i) by_name_.emplace(metas_[i].name, i);
}

const graph::TensorMeta* FileSource::find(std::string_view name) const noexcept {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &metas_[found->second];
}

std::string FileSource::why_missing(std::string_view name) const {
  const auto found = c_.unlisted.find(std::string(name));
  return found == c_.unlisted.end() ? "is not in the checkpoint" : found->second;
}

const FileSource::Place& FileSource::place(const graph::TensorMeta& meta) const {
  const auto found = by_name_.find(meta.name);
  if (found == by_name_.end()) throw_bug("not a tensor of this checkpoint", meta.name);
  return places_[found->second];
}

const std::byte* FileSource::at(const FileRange& range) const noexcept {
  return c_.files[range.file].bytes().data() + range.offset;
}

bool FileSource::is_there(const FileRange& range) const noexcept {
  const uint64_t size = c_.files[range.file].bytes().size();
  return range.offset <= size && range.size <= size - range.offset;
}

uint64_t FileSource::tensor_bytes(const graph::TensorMeta& meta) const {
  return static_cast<uint64_t>(matrix_rows(meta)) *
         static_cast<uint64_t>(quant::row_bytes(meta.format, matrix_cols(meta)));
}

bool FileSource::needs_scratch(const graph::TensorMeta& meta) const {
  if (meta.format == quant::Format::fp8) return true;
  // Mappings start at a page, so the offset decides.
  return place(meta).data.offset % alignment_of(meta.format) != 0;
}

const std::byte* FileSource::rows(const graph::TensorMeta& meta, int64_t first_row, int64_t rows,
                                  std::span<std::byte> scratch) const {
  if (c_.header_only && !(is_there(place(meta).data) && is_there(place(meta).scales)))
    throw_input("the file ends before the data of tensor '" + meta.name + "', which is needed",
                meta.where);
  const int64_t all = matrix_rows(meta);
  if (first_row < 0 || rows < 0 || first_row > all || rows > all - first_row)
    throw_bug("rows outside of the tensor", meta.name);
  const auto row_bytes = static_cast<size_t>(quant::row_bytes(meta.format, matrix_cols(meta)));
  const size_t size = static_cast<size_t>(rows) * row_bytes;
  const size_t skip = static_cast<size_t>(first_row) * row_bytes;
  const bool in_scratch = needs_scratch(meta);
  if (!in_scratch) return at(place(meta).data) + skip;
  if (scratch.size() < size) throw_bug("scratch too small for the rows", meta.name);
  if (meta.format == quant::Format::fp8)
    assemble_fp8(meta, first_row, rows, scratch.data());
  else if (size != 0)
    std::memcpy(scratch.data(), at(place(meta).data) + skip, size);
  return scratch.data();
}

void FileSource::assemble_fp8(const graph::TensorMeta& meta, int64_t first_row, int64_t rows,
                              std::byte* out) const {
  const int64_t cols = meta.shape.back(), matrix = meta.shape[meta.shape.size() - 2];
  const std::byte* codes = at(place(meta).data);
  const std::byte* scales = at(place(meta).scales);
  for (int64_t row = first_row; row < first_row + rows; ++row) {
    // Outer dimensions (experts) have scale matrices of their own.
    const int64_t scale_row = row / matrix * blocks_of(matrix) + row % matrix / fp8_block;
    for (int64_t b = 0; b < blocks_of(cols); ++b) {
      quant::BlockFp8 block{};
      const int64_t n = std::min(fp8_block, cols - b * fp8_block);
      std::memcpy(&block.scale, scales + (scale_row * blocks_of(cols) + b) * 4, 4);
      std::memcpy(block.q, codes + row * cols + b * fp8_block, static_cast<size_t>(n));
      std::memcpy(out, &block, sizeof block);
      out += sizeof block;
    }
  }
}

void FileSource::prefetch(const graph::TensorMeta& meta) const {
  for (const FileRange& range : {place(meta).data, place(meta).scales})
    if (!c_.header_only && range.size != 0) c_.files[range.file].prefetch(range.offset, range.size);
}

void FileSource::release(const graph::TensorMeta& meta) const {
  for (const FileRange& range : {place(meta).data, place(meta).scales})
    if (!c_.header_only && range.size != 0) c_.files[range.file].release(range.offset, range.size);
}

}  // namespace ktx::loader
