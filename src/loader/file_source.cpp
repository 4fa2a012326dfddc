// Rows of tensors as files hold them, or assembled when the file's layout differs.
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

// The row of scales of a row of codes: outer dimensions (experts) have scale matrices of their own.
int64_t scale_row(const graph::TensorMeta& meta, int64_t row) {
  const int64_t matrix = meta.shape[meta.shape.size() - 2];
  return row / matrix * blocks_of(matrix) + row % matrix / fp8_block;
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

std::vector<std::string> FileSource::unread() const {
  std::vector<std::string> names;
  for (const auto& [name, why] : c_.unlisted) names.push_back(name);
  std::ranges::sort(names);
  return names;
}

std::string FileSource::why_missing(std::string_view name) const {
  for (const auto* map : {&c_.unlisted, &c_.parts})
    if (const auto found = map->find(std::string(name)); found != map->end()) return found->second;
  return "is not in the checkpoint";
}

const FileSource::Place& FileSource::place(const graph::TensorMeta& meta) const {
  const auto found = by_name_.find(meta.name);
  if (found == by_name_.end()) throw_bug("not a tensor of this checkpoint", meta.name);
  return places_[found->second];
}

bool FileSource::is_there(const FileRange& range) const noexcept {
  const uint64_t size = c_.files[range.file]->size();
  return range.offset <= size && range.size <= size - range.offset;
}

uint64_t FileSource::tensor_bytes(const graph::TensorMeta& meta) const {
  return static_cast<uint64_t>(matrix_rows(meta)) *
         static_cast<uint64_t>(quant::row_bytes(meta.format, matrix_cols(meta)));
}

// The bytes of some rows; of an fp8 tensor those of its codes.
FileRange FileSource::part(const graph::TensorMeta& meta, int64_t first_row, int64_t rows) const {
  const int64_t cols = matrix_cols(meta);
  const int64_t row_bytes =
      meta.format == quant::Format::fp8 ? cols : quant::row_bytes(meta.format, cols);
  const FileRange& all = place(meta).data;
  return {all.file, all.offset + static_cast<uint64_t>(first_row * row_bytes),
          static_cast<uint64_t>(rows * row_bytes)};
}

FileRange FileSource::scale_part(const graph::TensorMeta& meta, int64_t first_row,
                                 int64_t rows) const {
  if (rows == 0) return {};
  const int64_t first = scale_row(meta, first_row), end = scale_row(meta, first_row + rows - 1) + 1;
  const auto row_bytes = static_cast<uint64_t>(blocks_of(matrix_cols(meta))) * sizeof(float);
  const FileRange& all = place(meta).scales;
  return {all.file, all.offset + static_cast<uint64_t>(first) * row_bytes,
          static_cast<uint64_t>(end - first) * row_bytes};
}

const std::byte* FileSource::read(const FileRange& range, std::span<std::byte> scratch) const {
  return c_.files[range.file]->read(range.offset, static_cast<size_t>(range.size), scratch);
}

size_t FileSource::scratch_bytes(const FileRange& range) const {
  return c_.files[range.file]->scratch_bytes(range.offset, static_cast<size_t>(range.size));
}

size_t FileSource::scratch_bytes(const graph::TensorMeta& meta, int64_t first_row,
                                 int64_t rows) const {
  const auto codes = scratch_bytes(part(meta, first_row, rows));
  if (meta.format != quant::Format::fp8) return codes;
  const int64_t row_bytes = quant::row_bytes(meta.format, matrix_cols(meta));
  return static_cast<size_t>(rows * row_bytes) + codes +
         scratch_bytes(scale_part(meta, first_row, rows));
}

const std::byte* FileSource::rows(const graph::TensorMeta& meta, int64_t first_row, int64_t rows,
                                  std::span<std::byte> scratch) const {
  if (c_.header_only && !(is_there(place(meta).data) && is_there(place(meta).scales)))
    throw_input("the file ends before the data of tensor '" + meta.name + "', which is needed",
                meta.where);
  const int64_t all = matrix_rows(meta);
  if (first_row < 0 || rows < 0 || first_row > all || rows > all - first_row)
    throw_bug("rows outside of the tensor", meta.name);
  if (scratch.size() < scratch_bytes(meta, first_row, rows))
    throw_bug("scratch too small for the rows", meta.name);
  if (meta.format == quant::Format::fp8) return assemble_fp8(meta, first_row, rows, scratch);
  const FileRange range = part(meta, first_row, rows);
  const std::byte* at = read(range, scratch);
  const size_t misaligned = range.offset % alignment_of(meta.format);
  if (misaligned == 0) return at;
  return static_cast<std::byte*>(
      std::memmove(scratch.data() + (at - misaligned - scratch.data()), at, range.size));
}

const std::byte* FileSource::assemble_fp8(const graph::TensorMeta& meta, int64_t first_row,
                                          int64_t rows, std::span<std::byte> scratch) const {
  const int64_t cols = meta.shape.back();
  std::byte* const assembled = scratch.data();
  scratch = scratch.subspan(static_cast<size_t>(rows * quant::row_bytes(meta.format, cols)));
  const FileRange range = part(meta, first_row, rows);
  const std::byte* codes = read(range, scratch);
  scratch = scratch.subspan(scratch_bytes(range));
  const std::byte* scales = read(scale_part(meta, first_row, rows), scratch);
  std::byte* out = assembled;
  for (int64_t row = first_row; row < first_row + rows; ++row) {
    const int64_t scale = (scale_row(meta, row) - scale_row(meta, first_row)) * blocks_of(cols);
    for (int64_t b = 0; b < blocks_of(cols); ++b) {
      quant::BlockFp8 block{};
      const int64_t n = std::min(fp8_block, cols - b * fp8_block);
      std::memcpy(&block.scale, scales + (scale + b) * 4, 4);
      std::memcpy(block.q, codes + (row - first_row) * cols + b * fp8_block,
                  static_cast<size_t>(n));
      std::memcpy(out, &block, sizeof block);
      out += sizeof block;
    }
  }
  return assembled;
}

std::string FileSource::stamp(const graph::TensorMeta& meta) const {
  std::string text;
  for (const FileRange& range : {place(meta).data, place(meta).scales})
    if (range.size != 0)
      text += c_.files[range.file]->stamp() + " " + std::to_string(range.offset) + " " +
              std::to_string(range.size) + "\n";
  return text;
}

}  // namespace ktx::loader
