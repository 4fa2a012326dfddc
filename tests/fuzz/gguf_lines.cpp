// From lines to the bytes of a GGUF file.
#include "fuzz/gguf_lines.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <vector>

#include "core/quant/format.hpp"
#include "loader/raw_gguf.hpp"

namespace ktx::fuzz {

namespace {

using namespace loader;

constexpr uint64_t most_data = 1 << 20;

constexpr std::array<std::string_view, 13> type_names{
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "str", "array", "u64", "i64", "f64"};

std::optional<RawGgufType> type_of(std::string_view name) {
  for (size_t i = 0; i < type_names.size(); ++i)
    if (type_names[i] == name) return static_cast<RawGgufType>(i);
  return std::nullopt;
}

std::string unescaped(std::string text) {
  for (size_t at = 0; (at = text.find("\\n", at)) != std::string::npos; ++at)
    text.replace(at, 2, "\n");
  return text;
}

std::string value_of(RawGgufType type, const std::string& word) {
  const uint64_t bits = word.starts_with('-')
                            ? static_cast<uint64_t>(std::strtoll(word.c_str(), nullptr, 10))
                            : std::strtoull(word.c_str(), nullptr, 10);
  switch (type) {
    case gguf_text:
    case gguf_array:
      return gguf_string(unescaped(word));
    case gguf_f32:
      return raw(std::strtof(word.c_str(), nullptr));
    case gguf_f64:
      return raw(std::strtod(word.c_str(), nullptr));
    case gguf_u8:
    case gguf_i8:
    case gguf_bool:
      return raw(static_cast<uint8_t>(bits));
    case gguf_u16:
    case gguf_i16:
      return raw(static_cast<uint16_t>(bits));
    case gguf_u32:
    case gguf_i32:
      return raw(static_cast<uint32_t>(bits));
    default:
      return raw(bits);
  }
}

// Cuts off what comes before the separator.
std::string next(std::string_view& text, char separator) {
  const size_t end = std::min(text.find(separator), text.size());
  std::string out(text.substr(0, end));
  text.remove_prefix(std::min(end + 1, text.size()));
  return out;
}

// Bytes of a tensor's data; of a type that there isn't as if it were f32. What is impossible wraps.
uint64_t data_bytes(uint32_t type, const std::vector<uint64_t>& dims) {
  const auto format = quant::find_ggml_type(static_cast<int>(type));
  const auto& info = quant::info(format.value_or(quant::Format::f32));
  uint64_t numbers = 1;
  for (const uint64_t dim : dims) numbers *= dim;
  return numbers / static_cast<uint64_t>(info.block) * static_cast<uint64_t>(info.block_bytes);
}

void add_tensor(RawGguf& out, const std::string& name, std::string_view rest, uint64_t& offset) {
  const auto type = static_cast<uint32_t>(std::strtoul(next(rest, ' ').c_str(), nullptr, 10));
  std::vector<uint64_t> dims;
  while (!rest.empty()) dims.push_back(std::strtoull(next(rest, ' ').c_str(), nullptr, 10));
  out.tensor_at(name, dims, type, offset);
  offset += (data_bytes(type, dims) + out.alignment - 1) / out.alignment * out.alignment;
}

void add_line(RawGguf& out, std::string_view line, uint64_t& offset) {
  std::string kind = next(line, ' ');
  const std::string name = next(line, ' ');
  if (kind == "tensor") return add_tensor(out, name, line, offset);
  const bool array = kind.starts_with('[');
  const auto type = type_of(std::string_view(kind).substr(array ? 1 : 0));
  if (!type) return;
  if (!array) {
    out.key(name, *type, value_of(*type, std::string(line)));
    return;
  }
  std::vector<std::string> values;
  while (!line.empty()) values.push_back(value_of(*type, next(line, '\t')));
  out.key(name, gguf_array, gguf_values(*type, values));
}

}  // namespace

std::string gguf_of_lines(std::string_view lines) {
  RawGguf out;
  uint64_t offset = 0;
  while (!lines.empty()) add_line(out, next(lines, '\n'), offset);
  return out.bytes() + std::string(offset <= most_data ? offset : 0, '\0');
}

}  // namespace ktx::fuzz
