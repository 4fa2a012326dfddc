// Header and data of a safetensors file in one write.
#include "loader/safetensors_writer.hpp"

#include <bit>
#include <string_view>

#include "core/base/error.hpp"
#include "core/base/file.hpp"
#include "core/base/json.hpp"
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

void write_safetensors(const std::filesystem::path& file, std::span<const NamedArray> arrays) {
  Json header = Json::object();
  uint64_t end = 0;
  for (const auto& array : arrays) {
    const uint64_t size = bytes_of(array).size();
    const auto weights = count_weights(array.shape);
    if (!weights || static_cast<uint64_t>(*weights) * 4 != size)
      throw_bug("values of an array to write don't fill its shape " + shape_text(array.shape),
                array.name);
    if (header.contains(array.name))
      throw_bug("two arrays to write have the same name", array.name);
    header[array.name] = {{"dtype", array.values.index() == 0 ? "F32" : "I32"},
                          {"shape", array.shape},
                          {"data_offsets", {end, end + size}}};
    end += size;
  }
  std::string text = base::dump_json(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data are aligned
  const uint64_t header_size = text.size();
  std::string out(reinterpret_cast<const char*>(&header_size), sizeof header_size);
  out.reserve(sizeof header_size + text.size() + end);
  out += text;
  for (const auto& array : arrays) out += bytes_of(array);
  base::write_file(file, out);
}

}  // namespace ktx::loader
