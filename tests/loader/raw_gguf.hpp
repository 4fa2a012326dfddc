// Builds GGUF files in memory for the tests, good ones and broken ones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "files.hpp"

namespace ktx::loader {

/// Numbers of the value types in the format.
enum RawGgufType : uint32_t {
  gguf_u8,
  gguf_i8,
  gguf_u16,
  gguf_i16,
  gguf_u32,
  gguf_i32,
  gguf_f32,
  gguf_bool,
  gguf_text,
  gguf_array,
  gguf_u64,
  gguf_i64,
  gguf_f64,
};

/// A string as the format stores it.
inline std::string gguf_string(const std::string& text) {
  return raw<uint64_t>(text.size()) + text;
}

/// The value of an array: element type, count, elements.
inline std::string gguf_values(RawGgufType type, const std::vector<std::string>& values) {
  std::string out = raw<uint32_t>(type) + raw<uint64_t>(values.size());
  for (const auto& value : values) out += value;
  return out;
}

class RawGguf {
 public:
  explicit RawGguf(uint32_t of_version = 3) : version(of_version) {}

  /// value: its bytes.
  RawGguf& key(const std::string& name, uint32_t type, const std::string& value) {
    keys_ += gguf_string(name) + raw(type) + value;
    ++key_count;
    return *this;
  }
  RawGguf& align(uint32_t bytes) {
    alignment = bytes;
    return key("general.alignment", gguf_u32, raw(bytes));
  }
  /// dims: in the file's order, innermost first. The data follow those of the tensor before.
  RawGguf& tensor(const std::string& name, const std::vector<uint64_t>& dims, uint32_t type,
                  const std::string& data) {
    tensor_at(name, dims, type, data_.size());
    data_ += data;
    data_.resize((data_.size() + alignment - 1) / alignment * alignment, '\0');
    return *this;
  }
  /// An entry of the table alone.
  RawGguf& tensor_at(const std::string& name, const std::vector<uint64_t>& dims, uint32_t type,
                     uint64_t offset) {
    table_ += gguf_string(name) + raw<uint32_t>(static_cast<uint32_t>(dims.size()));
    for (const uint64_t n : dims) table_ += raw(n);
    table_ += raw(type) + raw(offset);
    ++tensor_count;
    return *this;
  }

  std::string bytes() const {
    std::string out = "GGUF" + raw(version) + raw(tensor_count) + raw(key_count) + keys_ + table_;
    out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
    return out + data_;
  }

  uint32_t version;
  uint64_t alignment = 32, tensor_count = 0, key_count = 0;

 private:
  std::string keys_, table_, data_;
};

}  // namespace ktx::loader
