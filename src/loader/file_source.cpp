// Rows of tensors as files hold them, or as an assembly makes them.
#include "loader/file_source.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/limits.hpp"
#include "core/base/log.hpp"
#include "core/base/printable.hpp"
#include "core/base/text.hpp"

namespace ktx::loader {

namespace {

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
    places_.push_back({tensor.data, std::move(tensor.assembly)});
  }
  check_names();
  check_sums();
  c_.tensors.clear();
  c_.tensors.shrink_to_fit();
  for (size_t i = 0; i < metas_.size(); ++i) by_name_.emplace(metas_[i].name, i);
  if (!c_.missing_files.empty())
    base::log(LogLevel::warning, c_.path.string() +
                                     ": the contents of these files are unknown, because they "
                                     "are missing: " +
                                     missing_files());
}

// Tools print names, a line for each.
void FileSource::check_names() const {
  const auto check = [&](const std::string& name) {
    if (base::printable(name) != name)
      throw_input("tensor '" + name + "': its name has control characters", c_.path.string());
  };
  for (const auto& meta : metas_) check(meta.name);
  for (const auto& [name, why] : c_.unlisted) check(name);
}

// What is below these bounds may be added up by whoever plans, in any format, without overflow.
void FileSource::check_sums() const {
  const auto refuse = [&](int64_t most, const std::string& found) {
    throw_input("expected at most " + std::to_string(most) + found, c_.path.string());
  };
  if (metas_.size() > static_cast<size_t>(limits::tensors))
    refuse(limits::tensors, " tensors, found " + std::to_string(metas_.size()));
  int64_t weights = 0;
  for (const auto& meta : metas_) {
    weights += matrix_rows(meta) * matrix_cols(meta);
    if (weights > limits::weights)
      refuse(limits::weights, " weights in all tensors, found more at tensor '" + meta.name + "'");
  }
}

std::string FileSource::missing_files() const {
  return base::shortened(base::join(c_.missing_files), 200);
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
  for (const auto* map : {&c_.unlisted, &c_.passed})
    if (const auto found = map->find(name); found != map->end()) return found->second;
  if (c_.missing_files.empty()) return "is not in the checkpoint";
  return "is not in the files that are there; missing: " + missing_files();
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

// The bytes of some rows that a file holds as they are.
FileRange FileSource::part(const graph::TensorMeta& meta, int64_t first_row, int64_t rows) const {
  const int64_t row_bytes = quant::row_bytes(meta.format, matrix_cols(meta));
  const FileRange& all = place(meta).data;
  return {all.file, all.offset + static_cast<uint64_t>(first_row * row_bytes),
          static_cast<uint64_t>(rows * row_bytes)};
}

size_t FileSource::scratch_bytes(const graph::TensorMeta& meta, int64_t first_row,
                                 int64_t rows) const {
  if (const auto& assembly = place(meta).assembly) return assembly->scratch_bytes(first_row, rows);
  const FileRange range = part(meta, first_row, rows);
  return c_.files[range.file]->scratch_bytes(range.offset, static_cast<size_t>(range.size));
}

const std::byte* FileSource::rows(const graph::TensorMeta& meta, int64_t first_row, int64_t rows,
                                  std::span<std::byte> scratch) const {
  const Place& at = place(meta);
  if (c_.header_only)
    for (const FileRange& range : at.ranges())
      if (!is_there(range))
        throw_input("the file ends before the data of tensor '" + meta.name + "', which is needed",
                    meta.where);
  const int64_t all = matrix_rows(meta);
  if (first_row < 0 || rows < 0 || first_row > all || rows > all - first_row)
    throw_bug("rows outside of the tensor", meta.name);
  if (scratch.size() < scratch_bytes(meta, first_row, rows))
    throw_bug("scratch too small for the rows", meta.name);
  if (at.assembly) return at.assembly->rows(first_row, rows, scratch);
  const FileRange range = part(meta, first_row, rows);
  const std::byte* found =
      c_.files[range.file]->read(range.offset, static_cast<size_t>(range.size), scratch);
  const size_t misaligned = range.offset % alignment_of(meta.format);
  if (misaligned == 0) return found;
  return static_cast<std::byte*>(
      std::memmove(scratch.data() + (found - misaligned - scratch.data()), found, range.size));
}

std::string FileSource::stamp(const graph::TensorMeta& meta) const {
  const Place& at = place(meta);
  std::string text = at.assembly ? c_.assembling + "\n" : "";
  for (const FileRange& range : at.ranges())
    if (range.size != 0)
      text += c_.files[range.file]->stamp() + " " + std::to_string(range.offset) + " " +
              std::to_string(range.size) + "\n";
  return text;
}

}  // namespace ktx::loader
