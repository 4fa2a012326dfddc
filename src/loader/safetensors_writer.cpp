// Writing safetensors files: whole ones, and the beginning of large ones.
#include "loader/safetensors_writer.hpp"

#include <bit>
#include <string_view>

#include "core/base/error.hpp"
#include "core/base/file.hpp"
#include "core/base/json.hpp"
#include "core/base/name_map.hpp"
#include "loader/safetensors_header.hpp"
#include "loader/tensor_shape.hpp"

namespace ktx::loader {

namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

std::string_view bytes_of(const NamedArray& array) {
  return std::visit(
      [](const auto& values) {
        return std::string_view(reinterpret_cast<const char*>(values.data()), values.size_bytes());
      },
      array.values);
}

}  // namespace

FileLayout safetensors_layout(std::span<const SafetensorsTensor> tensors) {
  Json header = Json::object();
  FileLayout layout;
  base::NameSet<std::string_view> names;
  uint64_t end = 0;
  for (const auto& tensor : tensors) {
    const auto weights = count_weights(tensor.shape);
    const auto bits = bits_of_dtype(tensor.dtype);
    if (!weights || !bits)
      throw_bug("a tensor to write can't be " + std::string(tensor.dtype) + " " +
                    shape_text(tensor.shape),
                tensor.name);
    if (!names.insert(tensor.name).second)
      throw_bug("two tensors to write have the same name", tensor.name);
    const uint64_t bytes = (static_cast<uint64_t>(*weights) * static_cast<uint64_t>(*bits) + 7) / 8;
    base::append(
        header, tensor.name,
        {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {end, end + bytes}}});
    layout.offsets.push_back(end);
    end += bytes;
  }
  std::string text = base::dump_json(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data are aligned
  const uint64_t header_size = text.size();
  layout.header.assign(reinterpret_cast<const char*>(&header_size), sizeof header_size);
  layout.header += text;
  for (uint64_t& offset : layout.offsets) offset += layout.header.size();
  layout.size = layout.header.size() + end;
  return layout;
}

void write_safetensors(const std::filesystem::path& file, std::span<const NamedArray> arrays) {
  std::vector<SafetensorsTensor> tensors;
  for (const auto& array : arrays) {
    const auto weights = count_weights(array.shape);
    if (!weights || static_cast<uint64_t>(*weights) * 4 != bytes_of(array).size())
      throw_bug("values of an array to write don't fill its shape " + shape_text(array.shape),
                array.name);
    tensors.push_back({array.name, array.values.index() == 0 ? "F32" : "I32", array.shape});
  }
  FileLayout layout = safetensors_layout(tensors);
  std::string out = std::move(layout.header);
  out.reserve(layout.size);
  for (const auto& array : arrays) out += bytes_of(array);
  base::write_file(file, out);
}

}  // namespace ktx::loader
