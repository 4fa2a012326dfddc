// Random valid blocks of each ggml type and their dequantization by gguf-py, from
// tests/data/blocks.
#pragma once

#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/base/file.hpp"
#include "core/quant/format.hpp"

namespace ktx::quant::test {

/// Reads little-endian numbers off a text; throws at its end.
class Cursor {
 public:
  explicit Cursor(const std::string& text) : text_(text) {}

  std::string take(size_t size) {
    if (size > text_.size() - at_) throw std::runtime_error("the file ends too early");
    at_ += size;
    return text_.substr(at_ - size, size);
  }

  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }

  std::string text() { return take(number<uint64_t>()); }
  size_t at() const { return at_; }

 private:
  const std::string& text_;
  size_t at_ = 0;
};

struct Tensor {
  int64_t cols = 0, rows = 0;
  int ggml_type = 0;
  std::string bytes;
};

/// The tensors of a GGUF file whose metadata are all strings and whose data are aligned to 32.
inline std::map<std::string, Tensor> read_blocks(const std::string& file) {
  const std::string text = base::read_text(file);
  Cursor cursor(text);
  if (cursor.take(4) != "GGUF") throw std::runtime_error(file + " is no GGUF file");
  cursor.number<uint32_t>();
  const auto tensors = cursor.number<uint64_t>(), keys = cursor.number<uint64_t>();
  for (uint64_t i = 0; i < keys; ++i) {
    cursor.text();
    if (cursor.number<uint32_t>() != 8) throw std::runtime_error("metadata other than strings");
    cursor.text();
  }
  std::map<std::string, Tensor> found;
  std::map<std::string, uint64_t> offsets;
  for (uint64_t i = 0; i < tensors; ++i) {
    const std::string tensor_name = cursor.text();
    Tensor& tensor = found[tensor_name];
    if (cursor.number<uint32_t>() != 2) throw std::runtime_error(tensor_name + " is no matrix");
    tensor.cols = cursor.number<int64_t>();
    tensor.rows = cursor.number<int64_t>();
    tensor.ggml_type = cursor.number<int32_t>();
    offsets[tensor_name] = cursor.number<uint64_t>();
  }
  const size_t data = (cursor.at() + 31) / 32 * 32;
  for (auto& [tensor_name, tensor] : found) {
    const auto format = find_ggml_type(tensor.ggml_type);
    if (!format) throw std::runtime_error(tensor_name + " has an unknown type");
    const auto size = static_cast<size_t>(tensor.rows * row_bytes(*format, tensor.cols));
    tensor.bytes = text.substr(data + offsets[tensor_name], size);
    if (tensor.bytes.size() != size) throw std::runtime_error(tensor_name + " is cut off");
  }
  return found;
}

/// A tensor out of a safetensors file that holds f32 alone.
inline std::vector<float> read_f32(const std::string& file, const std::string& tensor_name) {
  const std::string text = base::read_text(file);
  Cursor cursor(text);
  const std::string header = cursor.text(), key = "\"data_offsets\":";
  const size_t entry = header.find('"' + tensor_name + '"');
  const size_t offsets = header.find('[', header.find(key, entry));
  if (entry == header.npos || offsets == header.npos)
    throw std::runtime_error(file + " has no " + tensor_name);
  const size_t begin = std::stoul(header.substr(offsets + 1));
  const size_t end = std::stoul(header.substr(header.find(',', offsets) + 1));
  cursor.take(begin);
  std::vector<float> values((end - begin) / 4);
  std::memcpy(values.data(), cursor.take(values.size() * 4).data(), values.size() * 4);
  return values;
}

/// Decodes the blocks of a format and requires every bit of the reference, from any address.
inline void require_reference(Format format) {
  const std::string key(name(format)), folder = KTX_TEST_DATA "/blocks/ggml_blocks";
  INFO(key);
  const Tensor tensor = read_blocks(folder + ".gguf").at(key);
  const std::vector<float> expected = read_f32(folder + ".safetensors", key);
  REQUIRE(tensor.ggml_type == info(format).ggml_type);
  REQUIRE(expected.size() == static_cast<size_t>(tensor.rows * tensor.cols));
  const auto stride = row_bytes(format, tensor.cols);
  for (size_t shift = 0; shift < 2; ++shift) {
    std::vector<std::byte> moved(tensor.bytes.size() + shift);
    std::memcpy(moved.data() + shift, tensor.bytes.data(), tensor.bytes.size());
    std::vector<float> row(static_cast<size_t>(tensor.cols));
    for (int64_t r = 0; r < tensor.rows; ++r) {
      info(format).decode(moved.data() + shift + r * stride, row.data(), tensor.cols);
      for (size_t i = 0; i < row.size(); ++i) {
        uint32_t found, wanted;
        std::memcpy(&found, &row[i], 4);
        std::memcpy(&wanted, &expected[static_cast<size_t>(r) * row.size() + i], 4);
        if (found != wanted) {
          INFO("row " << r << " column " << i << " bits " << found << " expected " << wanted);
          FAIL("differs from the reference");
        }
      }
    }
  }
}

}  // namespace ktx::quant::test
