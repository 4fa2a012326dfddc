// The one table of formats: how a tensor's numbers are stored.
//
// Every format stores a matrix [rows, cols] row by row; a row is a sequence of blocks along the
// input dimension (cols). decode and encode work on whole rows and are the definition of the
// format: every kernel is tested against them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ktx::quant {

enum class Format : uint8_t {
  f32,
  f16,
  bf16,
  fp8,  // e4m3 in blocks of 128 columns, each led by its f32 scale (from DeepSeek's
        // weight_scale_inv)
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
  iq3_s,
  iq3_xxs,
  iq2_s,
  iq2_xs,
  iq2_xxs,
  iq1_s,
  iq1_m,
  mxfp4,
  int8,  // symmetric, one f32 scale a row
  int8_32,
  int8_64,
  int8_128,  // symmetric, one bf16 scale a group of 32, 64, 128
  int4_32,
  int4_64,
  int4_128,
};

struct FormatInfo {
  Format format;
  std::string_view name;  // as in rules: "q4_k", "int4/64"
  std::string_view doc;
  int ggml_type;    // GGUF's number of the type; -1: not in GGUF
  int block;        // weights a block; 0: the block is the whole row
  int block_bytes;  // bytes of a block; for block == 0 the bytes added to one byte a weight
  bool partial;     // cols need not be a multiple of block: the last block is padded
  /// row: row_bytes(format, n) bytes; out: n floats. Any bytes are safe to decode.
  void (*decode)(const std::byte* row, float* out, int64_t n) noexcept;
  /// in: n floats; row: row_bytes(format, n) bytes; the same bytes on every ISA, so that KTX_ISA
  /// (core/hw/isa.hpp) has no say in which version runs. Null: ktx reads this format but does not
  /// make it.
  void (*encode)(const float* in, std::byte* row, int64_t n) noexcept;
};

/// All formats, in the order of the enum.
std::span<const FormatInfo> formats() noexcept;

const FormatInfo& info(Format format) noexcept;
inline std::string_view name(Format format) noexcept {
  return info(format).name;
}

/// By the name in rules; nothing when unknown.
std::optional<Format> find_format(std::string_view name) noexcept;
std::optional<Format> find_ggml_type(int ggml_type) noexcept;

/// Names of all formats, or only of those ktx can quantize to, for error messages and docs.
std::vector<std::string> format_names();
std::vector<std::string> encodable_names();

/// Whether a row of cols weights can be stored: cols is a multiple of the block (or may be padded).
bool fits(Format format, int64_t cols) noexcept;

/// Bytes of one row of cols weights. Precondition: fits(format, cols).
int64_t row_bytes(Format format, int64_t cols) noexcept;

/// Mean bits a weight, e.g. 4.5 for q4_k (of a long row).
double bits_per_weight(Format format) noexcept;

}  // namespace ktx::quant
