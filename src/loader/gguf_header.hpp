// The header of one GGUF file: metadata and tensor table, read and checked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/file_reader.hpp"
#include "core/base/json.hpp"
#include "core/quant/format.hpp"

namespace ktx::loader {

struct GgufTensor {
  std::string name;
  quant::Format format = quant::Format::f32;
  std::vector<int64_t> shape;  // outermost first: the reverse of the file's order
  uint64_t offset = 0;         // of its first byte in the file
  uint64_t size = 0;           // bytes
  std::string unread = {};     // why its rows can't be read; then its format and size mean nothing
};

struct GgufHeader {
  Json metadata = Json::object();   // key -> value, in file order
  std::vector<GgufTensor> tensors;  // in the order of the table
};

/// Layout: github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3. Throws input error
/// on anything malformed, and, unless header_only, when the file ends before its tensors do.
GgufHeader read_gguf_header(const base::FileReader& file, bool header_only);

/// The metadata alone; what follows it is not looked at.
Json read_gguf_metadata(const base::FileReader& file);

}  // namespace ktx::loader
