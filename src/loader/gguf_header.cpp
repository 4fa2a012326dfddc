// GGUF metadata and tensor table, treating every number in the file as hostile.
#include "loader/gguf_header.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/limits.hpp"
#include "core/base/name_map.hpp"
#include "core/base/stand_in.hpp"
#include "loader/byte_reader.hpp"
#include "loader/ggml_types.hpp"
#include "loader/gguf_types.hpp"
#include "loader/tensor_shape.hpp"

namespace ktx::loader {

namespace {

// Far above any real model, low enough that a broken count can't exhaust memory.
constexpr uint64_t max_keys = 1 << 16;
constexpr uint64_t max_text = 1 << 26;        // bytes of one string
constexpr uint64_t max_all_text = 1 << 28;    // bytes of all strings together
constexpr uint64_t max_name = (1 << 16) - 1;  // bytes of a key or tensor name; the format's limit
constexpr int max_depth = 8;                  // arrays in arrays
constexpr uint32_t max_dims = 4;

using enum GgufType;

// Bytes that a value of the type takes at least.
constexpr uint64_t least_bytes[gguf_types] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

struct Counts {
  uint64_t tensors, keys;
};

class HeaderParser {
 public:
  explicit HeaderParser(const base::FileReader& file) : in_(file) {}

  Counts read_counts();
  Json read_metadata(uint64_t keys);
  std::vector<GgufTensor> read_tensors(uint64_t count);
  /// Turns the tensors' offsets into places in the file and checks them.
  void place_tensors(std::vector<GgufTensor>& tensors, uint64_t alignment, bool header_only) const;
  uint64_t alignment(const Json& metadata) const;

 private:
  std::string read_name(const std::string& what);
  Json read_value(uint32_t type, int depth);
  Json read_array(int depth);
  GgufTensor read_tensor(uint64_t index, uint64_t count);
  std::vector<int64_t> read_shape();
  void read_format(GgufTensor& tensor);

  ByteReader in_;
  uint64_t values_ = 0, text_bytes_ = 0;  // read so far
};

Counts HeaderParser::read_counts() {
  const std::string_view magic = in_.read_text(4);
  if (magic != "GGUF") {
    const auto instead = base::stand_in(in_.beginning());
    throw_input(instead ? *instead : "not a GGUF file: expected it to start with 'GGUF'",
                in_.file());
  }
  const auto version = in_.read<uint32_t>();
  if (version == 0x02000000u || version == 0x03000000u)
    throw_input("a big-endian GGUF file; ktx reads little-endian ones", in_.file());
  if (version != 2 && version != 3)
    throw_input("GGUF version: expected 2 or 3, found " + std::to_string(version), in_.file());
  Counts counts{};
  counts.tensors = in_.read<uint64_t>();
  counts.keys = in_.read<uint64_t>();
  if (counts.keys > max_keys)
    in_.fail("expected at most " + std::to_string(max_keys) + " metadata keys, found " +
             std::to_string(counts.keys));
  return counts;
}

std::string HeaderParser::read_name(const std::string& what) {
  in_.subject = what;
  const auto size = in_.read<uint64_t>();
  if (size == 0 || size > max_name)
    in_.fail("expected a name of 1 to " + std::to_string(max_name) + " bytes, found " +
             std::to_string(size));
  return std::string(in_.read_text(size));
}

Json HeaderParser::read_metadata(uint64_t keys) {
  Json metadata = Json::object();
  base::NameSet<> names;
  for (uint64_t i = 0; i < keys; ++i) {
    const std::string key =
        read_name("metadata key " + std::to_string(i + 1) + " of " + std::to_string(keys));
    in_.subject = "metadata '" + key + "'";
    const auto type = in_.read<uint32_t>();
    base::append(metadata, key, read_value(type, 0));
    if (!names.insert(key).second) in_.fail("the key occurs twice");
  }
  return metadata;
}

Json HeaderParser::read_value(uint32_t type, int depth) {
  switch (static_cast<GgufType>(type)) {
    case u8:
      return in_.read<uint8_t>();
    case i8:
      return in_.read<int8_t>();
    case u16:
      return in_.read<uint16_t>();
    case i16:
      return in_.read<int16_t>();
    case u32:
      return in_.read<uint32_t>();
    case i32:
      return in_.read<int32_t>();
    case u64:
      return in_.read<uint64_t>();
    case i64:
      return in_.read<int64_t>();
    case f32:
      return in_.read<float>();
    case f64:
      return in_.read<double>();
    case array:
      return read_array(depth + 1);
    case boolean: {
      const auto value = in_.read<uint8_t>();
      if (value > 1) in_.fail("expected a bool of 0 or 1, found " + std::to_string(value));
      return value == 1;
    }
    case text: {
      const auto size = in_.read<uint64_t>();
      if (size > max_text || text_bytes_ + size > max_all_text)
        in_.fail("a string of " + std::to_string(size) + " bytes is too long");
      text_bytes_ += size;
      return std::string(in_.read_text(size));
    }
    default:
      in_.fail("expected a value type of 0 to 12, found " + std::to_string(type));
  }
}

Json HeaderParser::read_array(int depth) {
  if (depth > max_depth)
    in_.fail("arrays nested deeper than " + std::to_string(max_depth) + " levels");
  const auto type = in_.read<uint32_t>();
  if (type >= gguf_types)
    in_.fail("expected a value type of 0 to 12, found " + std::to_string(type));
  const auto count = in_.read<uint64_t>();
  if (count > in_.remaining() / least_bytes[type])
    in_.fail("the file ends inside it: expected an array of " + std::to_string(count) +
             " values, found " + std::to_string(in_.remaining()) + " bytes");
  if (count > static_cast<uint64_t>(limits::values) - values_)
    in_.fail("expected at most " + std::to_string(limits::values) +
             " values in arrays, found more");
  values_ += count;
  Json values = Json::array();
  auto& items = values.get_ref<Json::array_t&>();
  items.reserve(count);
  for (uint64_t i = 0; i < count; ++i) items.push_back(read_value(type, depth));
  return values;
}

std::vector<int64_t> HeaderParser::read_shape() {
  const auto dims = in_.read<uint32_t>();
  if (dims < 1 || dims > max_dims)
    in_.fail("expected 1 to 4 dimensions, found " + std::to_string(dims));
  std::vector<int64_t> shape(dims);
  for (auto n = shape.rbegin(); n != shape.rend(); ++n) {
    const auto size = in_.read<uint64_t>();
    if (size == 0 || size > static_cast<uint64_t>(limits::weights))
      in_.fail("expected a dimension of 1 to 2^48, found " + std::to_string(size));
    *n = static_cast<int64_t>(size);
  }
  if (!count_weights(shape)) in_.fail("the shape " + shape_text(shape) + " is too large");
  return shape;
}

// Format and size. A type that ktx doesn't read, or rows that are no whole blocks, matter to those
// who want the tensor.
void HeaderParser::read_format(GgufTensor& tensor) {
  const auto type = in_.read<uint32_t>();
  const bool small = type <= static_cast<uint32_t>(std::numeric_limits<int>::max());
  const auto format = small ? quant::find_ggml_type(static_cast<int>(type)) : std::nullopt;
  const int64_t cols = tensor.shape.back();
  if (!format) {
    tensor.unread = unread_type(type);
  } else if (!quant::fits(*format, cols)) {
    tensor.unread = "has rows of " + std::to_string(cols) +
                    " weights, which are not whole blocks of " +
                    std::to_string(quant::info(*format).block) + ", as " +
                    std::string(quant::name(*format)) + " needs";
  } else {
    tensor.format = *format;
    tensor.size = static_cast<uint64_t>(*count_weights(tensor.shape) / cols) *
                  static_cast<uint64_t>(quant::row_bytes(*format, cols));
  }
}

GgufTensor HeaderParser::read_tensor(uint64_t index, uint64_t count) {
  GgufTensor tensor;
  tensor.name = read_name("entry " + std::to_string(index + 1) + " of " + std::to_string(count) +
                          " of the tensor table");
  in_.subject = "tensor '" + tensor.name + "'";
  tensor.shape = read_shape();
  read_format(tensor);
  tensor.offset = in_.read<uint64_t>();
  return tensor;
}

std::vector<GgufTensor> HeaderParser::read_tensors(uint64_t count) {
  constexpr uint64_t least_entry = 8 + 1 + 4 + 8 + 4 + 8;
  in_.subject = "the tensor table";
  if (count > static_cast<uint64_t>(limits::tensors))
    in_.fail("expected at most " + std::to_string(limits::tensors) + " tensors, found " +
             std::to_string(count));
  if (count > in_.remaining() / least_entry)
    in_.fail("the file ends inside it: expected " + std::to_string(count) + " tensors, found " +
             std::to_string(in_.remaining()) + " bytes");
  std::vector<GgufTensor> tensors;
  base::NameSet<> names;
  for (uint64_t i = 0; i < count; ++i) {
    tensors.push_back(read_tensor(i, count));
    if (!names.insert(tensors.back().name).second) in_.fail("is in the tensor table twice");
  }
  return tensors;
}

uint64_t HeaderParser::alignment(const Json& metadata) const {
  const auto found = metadata.find("general.alignment");
  if (found == metadata.end()) return 32;
  const uint64_t value = found->is_number_unsigned() ? found->get<uint64_t>() : 0;
  if (!std::has_single_bit(value) || value > std::numeric_limits<uint32_t>::max())
    throw_input("metadata 'general.alignment': expected a power of two, found " +
                    base::dump_json(*found).substr(0, 40),
                in_.file());
  return value;
}

void HeaderParser::place_tensors(std::vector<GgufTensor>& tensors, uint64_t alignment,
                                 bool header_only) const {
  const uint64_t start = (in_.position() + alignment - 1) / alignment * alignment;
  const uint64_t file_size = in_.position() + in_.remaining();
  std::vector<const GgufTensor*> order;
  for (auto& tensor : tensors) {
    const std::string subject = "tensor '" + tensor.name + "': ";
    if (tensor.offset % alignment != 0)
      throw_input(subject + "its offset " + std::to_string(tensor.offset) +
                      " is not a multiple of the alignment " + std::to_string(alignment),
                  in_.file());
    // Sizes are below 2^51, so the sums below can't overflow.
    if (tensor.offset > (uint64_t{1} << 62))
      throw_input(subject + "its offset " + std::to_string(tensor.offset) + " is too large",
                  in_.file());
    tensor.offset += start;
    order.push_back(&tensor);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return a->offset < b->offset; });
  for (size_t i = 0; i < order.size(); ++i) {
    const GgufTensor& tensor = *order[i];
    const uint64_t end = tensor.offset + tensor.size;
    if (!header_only && end > file_size)
      throw_input("tensor '" + tensor.name + "': the file ends inside its data: expected bytes " +
                      std::to_string(tensor.offset) + " to " + std::to_string(end) +
                      ", found a file of " + std::to_string(file_size) + " bytes",
                  in_.file());
    if (i + 1 < order.size() && order[i + 1]->offset < end)
      throw_input("tensor '" + order[i + 1]->name + "': its data overlaps that of tensor '" +
                      tensor.name + "'",
                  in_.file());
  }
}

}  // namespace

GgufHeader read_gguf_header(const base::FileReader& file, bool header_only) {
  HeaderParser parser(file);
  const Counts counts = parser.read_counts();
  GgufHeader header;
  header.metadata = parser.read_metadata(counts.keys);
  const uint64_t alignment = parser.alignment(header.metadata);
  header.tensors = parser.read_tensors(counts.tensors);
  parser.place_tensors(header.tensors, alignment, header_only);
  return header;
}

Json read_gguf_metadata(const base::FileReader& file) {
  HeaderParser parser(file);
  return parser.read_metadata(parser.read_counts().keys);
}

}  // namespace ktx::loader
