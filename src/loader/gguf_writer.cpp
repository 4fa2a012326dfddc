// The beginning of a GGUF file: metadata and tensor table.
#include "loader/gguf_writer.hpp"

#include <bit>
#include <limits>
#include <string>
#include <string_view>

#include "core/base/error.hpp"
#include "core/base/name_map.hpp"
#include "loader/checkpoint.hpp"
#include "loader/gguf_types.hpp"
#include "loader/tensor_shape.hpp"

namespace ktx::loader {

namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr uint64_t alignment = 32;  // of the tensors' data, when no metadata key gives another

constexpr uint64_t aligned(uint64_t bytes) noexcept {
  return (bytes + alignment - 1) / alignment * alignment;
}

class HeaderText {
 public:
  template <class T>
  void add(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void add_text(std::string_view text) {
    add<uint64_t>(text.size());
    text_ += text;
  }
  void add_bytes(std::string_view bytes) { text_ += bytes; }
  void add_value(GgufType type, const Json& value);
  void add_array(const Json& values, const std::string& key);

  std::string take() noexcept { return std::move(text_); }

 private:
  std::string text_;
};

GgufType type_of(const Json& value, const std::string& key) {
  if (value.is_string()) return GgufType::text;
  if (value.is_boolean()) return GgufType::boolean;
  if (value.is_number_float()) return GgufType::f32;
  if (value.is_array()) return GgufType::array;
  if (!value.is_number_integer()) throw_bug("metadata to write has no GGUF type", key);
  if (!value.is_number_unsigned() && value.get<int64_t>() < 0) return GgufType::i32;
  return value.get<uint64_t>() > std::numeric_limits<uint32_t>::max() ? GgufType::u64
                                                                      : GgufType::u32;
}

void HeaderText::add_value(GgufType type, const Json& value) {
  switch (type) {
    case GgufType::text:
      return add_text(value.get_ref<const std::string&>());
    case GgufType::boolean:
      return add(static_cast<uint8_t>(value.get<bool>()));
    case GgufType::f32:
      return add(value.get<float>());
    case GgufType::i32:
      return add(value.get<int32_t>());
    case GgufType::u32:
      return add(value.get<uint32_t>());
    case GgufType::u64:
      return add(value.get<uint64_t>());
    default:
      throw_bug("a GGUF type that is never written");
  }
}

void HeaderText::add_array(const Json& values, const std::string& key) {
  const auto element_type = [&](const Json& value) {
    const GgufType type = type_of(value, key);
    if (type == GgufType::array) throw_bug("an array in an array of metadata to write", key);
    return type == GgufType::u32 ? GgufType::i32 : type;
  };
  const GgufType type = values.empty() ? GgufType::text : element_type(values.front());
  add(type);
  add<uint64_t>(values.size());
  for (const Json& value : values) {
    if (element_type(value) != type)
      throw_bug("an array of metadata to write is of mixed types", key);
    add_value(type, value);
  }
}

void add_metadata(HeaderText& out, const Json& metadata) {
  for (const auto& [key, value] : metadata.items()) {
    const GgufType type = type_of(value, key);
    out.add_text(key);
    out.add(type);
    if (type == GgufType::array) {
      out.add_array(value, key);
    } else {
      out.add_value(type, value);
    }
  }
}

uint64_t tensor_bytes(const graph::TensorMeta& tensor) {
  const int64_t cols = matrix_cols(tensor);
  const auto weights = count_weights(tensor.shape);
  if (tensor.shape.empty() || !weights || *weights == 0 || !quant::fits(tensor.format, cols))
    throw_bug("a tensor to write can't have the shape " + shape_text(tensor.shape), tensor.name);
  return static_cast<uint64_t>(matrix_rows(tensor)) *
         static_cast<uint64_t>(quant::row_bytes(tensor.format, cols));
}

}  // namespace

FileLayout gguf_layout(const Json& metadata, std::span<const graph::TensorMeta> tensors) {
  HeaderText out;
  out.add_bytes("GGUF");
  out.add<uint32_t>(3);
  out.add<uint64_t>(tensors.size());
  out.add<uint64_t>(metadata.size());
  add_metadata(out, metadata);

  FileLayout layout;
  base::NameSet<std::string_view> names;
  uint64_t end = 0;  // of the data so far
  for (const auto& tensor : tensors) {
    const int type = quant::info(tensor.format).ggml_type;
    if (type < 0) throw_bug("a tensor to write has a format that GGUF lacks", tensor.name);
    if (!names.insert(tensor.name).second)
      throw_bug("two tensors to write have the same name", tensor.name);
    const uint64_t bytes = tensor_bytes(tensor);
    out.add_text(tensor.name);
    out.add(static_cast<uint32_t>(tensor.shape.size()));
    for (auto n = tensor.shape.rbegin(); n != tensor.shape.rend(); ++n)
      out.add(static_cast<uint64_t>(*n));
    out.add(static_cast<uint32_t>(type));
    out.add(end);
    layout.offsets.push_back(end);
    end += aligned(bytes);
  }
  layout.header = out.take();
  layout.header.resize(aligned(layout.header.size()), '\0');
  for (uint64_t& offset : layout.offsets) offset += layout.header.size();
  layout.size = layout.header.size() + end;
  return layout;
}

}  // namespace ktx::loader
