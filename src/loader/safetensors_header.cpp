// The JSON header of a safetensors file, treating every name and number as hostile.
#include "loader/safetensors_header.hpp"

#include <algorithm>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/json.hpp"
#include "core/base/name_map.hpp"
#include "core/base/stand_in.hpp"
#include "core/base/text.hpp"
#include "loader/byte_reader.hpp"
#include "loader/tensor_shape.hpp"

namespace ktx::loader {

namespace {

constexpr uint64_t max_header = 100'000'000;  // bytes; the format's own limit

struct Dtype {
  std::string_view name;
  int bits;
  std::optional<quant::Format> format;
};

// Every dtype of the format; those without a Format are listed only.
constexpr Dtype dtypes[] = {
    {"BF16", 16, quant::Format::bf16},
    {"F16", 16, quant::Format::f16},
    {"F32", 32, quant::Format::f32},
    {"F8_E4M3", 8, quant::Format::fp8},
    {"BOOL", 8, {}},
    {"U8", 8, {}},
    {"I8", 8, {}},
    {"F8_E5M2", 8, {}},
    {"F8_E8M0", 8, {}},
    {"I16", 16, {}},
    {"U16", 16, {}},
    {"I32", 32, {}},
    {"U32", 32, {}},
    {"I64", 64, {}},
    {"U64", 64, {}},
    {"F64", 64, {}},
    {"C64", 64, {}},
    {"F4", 4, {}},
    {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},
};

const Dtype* find_dtype(std::string_view name) noexcept {
  const auto found = std::find_if(std::begin(dtypes), std::end(dtypes),
                                  [&](const Dtype& d) { return d.name == name; });
  return found == std::end(dtypes) ? nullptr : found;
}

// Takes the header apart while it is being parsed: {"name": {"dtype": "F32", "shape": [2, 3],
// "data_offsets": [0, 24]}, ..., "__metadata__": {"key": "text"}}. Unlike a tree of JSON values
// this costs no more memory than the entries and sees a name that occurs twice.
class HeaderHandler : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderHandler(std::string file) : file_(std::move(file)) {}

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a bool"); }
  bool number_integer(number_integer_t) override { return unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return unexpected("a fraction"); }
  bool binary(binary_t&) override { return unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (level_ != Level::array) return unexpected("a number");
    numbers().push_back(value);
    // No dimension, offset or shape that long is sensible.
    if (numbers().size() > 64) fail("'" + field_ + "' has more than 64 numbers");
    return true;
  }

  bool string(string_t& value) override {
    if (level_ == Level::metadata) return true;
    if (level_ != Level::tensor || field_ != "dtype") return unexpected("a string");
    entry_.dtype = std::move(value);
    return true;
  }

  bool key(string_t& name) override {
    if (level_ == Level::header) {
      entry_ = {};
      entry_.name = std::move(name);
      shape_.clear();
      offsets_.clear();
      fields_ = 0;
      if (!names_.insert(entry_.name).second) fail("is in the header twice");
    } else if (level_ == Level::tensor) {
      field_ = std::move(name);
      const int bit = field_ == "dtype"          ? 1
                      : field_ == "shape"        ? 2
                      : field_ == "data_offsets" ? 4
                                                 : 0;
      if (bit == 0) fail("unknown field '" + field_ + "' in the header");
      if ((fields_ & bit) != 0) fail("'" + field_ + "' is in the header twice");
      fields_ |= bit;
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (level_ == Level::outside)
      level_ = Level::header;
    else if (level_ == Level::header)
      level_ = entry_.name == "__metadata__" ? Level::metadata : Level::tensor;
    else
      return unexpected("an object");
    return true;
  }

  bool end_object() override {
    if (level_ == Level::tensor) finish_tensor();
    level_ = level_ == Level::header ? Level::outside : Level::header;
    return true;
  }

  bool start_array(std::size_t) override {
    if (level_ != Level::tensor || field_ == "dtype") return unexpected("an array");
    level_ = Level::array;
    return true;
  }

  bool end_array() override {
    level_ = Level::tensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    throw_input("the header is not valid JSON at its byte " + std::to_string(position), file_);
  }

  std::vector<SafetensorsEntry> entries;  // offset still relative to the data section

 private:
  enum class Level { outside, header, metadata, tensor, array };

  std::vector<uint64_t>& numbers() { return field_ == "shape" ? shape_ : offsets_; }

  [[noreturn]] void fail(const std::string& message) const {
    throw_input("tensor '" + entry_.name + "': " + message, file_);
  }

  // level_ and the current key say what should have been there.
  bool unexpected(const char* found) const {
    if (level_ == Level::outside)
      throw_input("the header: expected an object, found " + std::string(found), file_);
    if (level_ == Level::metadata)
      throw_input("the header's __metadata__: expected strings, found " + std::string(found),
                  file_);
    if (level_ == Level::header)
      fail("expected an object in the header, found " + std::string(found));
    fail("'" + field_ + "': expected " +
         (field_ == "dtype" ? "a string" : "an array of whole numbers") + ", found " + found);
  }

  void finish_tensor() {
    if (fields_ != 7)
      fail(std::string("expected dtype, shape and data_offsets in the header, found no ") +
           ((fields_ & 1) == 0   ? "dtype"
            : (fields_ & 2) == 0 ? "shape"
                                 : "data_offsets"));
    for (const uint64_t n : shape_) {
      if (n > static_cast<uint64_t>(limits::weights))
        fail("a dimension of " + std::to_string(n) + " is too large");
      entry_.shape.push_back(static_cast<int64_t>(n));
    }
    if (offsets_.size() != 2 || offsets_[0] > offsets_[1] || offsets_[1] > uint64_t{1} << 62)
      fail("data_offsets: expected a begin and an end, found " + offsets_text());
    entry_.offset = offsets_[0];
    entry_.size = offsets_[1] - offsets_[0];
    check_size();
    entries.push_back(std::move(entry_));
  }

  std::string offsets_text() const {
    std::vector<std::string> words;
    for (const uint64_t n : offsets_) words.push_back(std::to_string(n));
    return "[" + base::join(words) + "]";
  }

  void check_size() const {
    const auto weights = count_weights(entry_.shape);
    if (!weights) fail("the shape " + shape_text(entry_.shape) + " is too large");
    const Dtype* dtype = find_dtype(entry_.dtype);
    if (dtype == nullptr) return;  // of unknown size; it stays unread
    const uint64_t bits = static_cast<uint64_t>(*weights) * static_cast<uint64_t>(dtype->bits);
    if (bits % 8 != 0 || bits / 8 != entry_.size)
      fail("expected " + std::to_string(bits / 8) + " bytes for " + entry_.dtype + " " +
           shape_text(entry_.shape) + ", found data_offsets " + offsets_text() + ", " +
           std::to_string(entry_.size) + " bytes");
  }

  std::string file_, field_;
  Level level_ = Level::outside;
  SafetensorsEntry entry_;
  std::vector<uint64_t> shape_, offsets_;
  int fields_ = 0;  // seen: 1 dtype, 2 shape, 4 data_offsets
  base::NameSet<> names_;
};

// Sorts by place and checks that the tensors cover data_size bytes without overlaps or holes.
void check_cover(std::vector<SafetensorsEntry>& entries, uint64_t data_size, bool header_only,
                 const std::string& file) {
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.offset, a.size) < std::pair(b.offset, b.size);
  });
  uint64_t end = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    const SafetensorsEntry& entry = entries[i];
    const std::string subject = "tensor '" + entry.name + "': ";
    if (entry.offset < end)
      throw_input(subject + "its data overlaps that of tensor '" + entries[i - 1].name + "'", file);
    if (entry.offset > end)
      throw_input(subject + "expected its data at byte " + std::to_string(end) +
                      " of the data, where those before it end, found byte " +
                      std::to_string(entry.offset),
                  file);
    end = entry.offset + entry.size;
    if (!header_only && end > data_size)
      throw_input(subject + "the file ends inside its data: expected data_offsets up to " +
                      std::to_string(data_size) + ", found [" + std::to_string(entry.offset) +
                      ", " + std::to_string(end) + "]",
                  file);
  }
  if (data_size > end)
    throw_input("expected the data to end after " + std::to_string(end) +
                    " bytes with the last tensor, found " + std::to_string(data_size) + " bytes",
                file);
}

}  // namespace

std::optional<int> bits_of_dtype(std::string_view dtype) noexcept {
  const Dtype* found = find_dtype(dtype);
  return found == nullptr ? std::nullopt : std::optional(found->bits);
}

std::optional<quant::Format> format_of_dtype(std::string_view dtype) noexcept {
  const Dtype* found = find_dtype(dtype);
  return found == nullptr ? std::nullopt : found->format;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& file, bool header_only)
    : file_(std::make_unique<base::FileReader>(file)) {
  ByteReader in(*file_);
  if (const auto instead = base::stand_in(in.beginning())) throw_input(*instead, file.string());
  const auto size = in.read<uint64_t>();
  if (size > max_header)
    in.fail("expected at most " + std::to_string(max_header) + " bytes, found a size of " +
            std::to_string(size) + ": not a safetensors file?");
  const std::string_view header = in.read_text(size);
  if (!header.starts_with('{')) in.fail("expected it to start with '{'");
  HeaderHandler handler(file.string());
  Json::sax_parse(header, &handler);
  entries_ = std::move(handler.entries);
  check_cover(entries_, in.remaining(), header_only, file.string());
  for (auto& entry : entries_) entry.offset += in.position();
}

const SafetensorsEntry* SafetensorsFile::find(std::string_view name) const noexcept {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const auto& entry) { return entry.name == name; });
  return found == entries_.end() ? nullptr : &*found;
}

std::vector<std::byte> SafetensorsFile::bytes(const SafetensorsEntry& entry) const {
  if (entry.offset > file_->size() || entry.size > file_->size() - entry.offset)
    throw_bug("bytes() beyond the file's end", entry.name);
  std::vector<std::byte> out(entry.size);
  file_->copy(entry.offset, out);
  return out;
}

}  // namespace ktx::loader
