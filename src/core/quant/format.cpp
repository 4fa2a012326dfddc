// The one table of formats and its look-ups.
#include "core/quant/format.hpp"

#include "core/quant/blocks.hpp"
#include "core/quant/codecs.hpp"

namespace ktx::quant {
namespace {

using enum Format;

// {format, name, doc, ggml_type, block, block_bytes, partial, decode, encode}, in the enum's order.
constexpr FormatInfo table[] = {
    {f32, "f32", "32-bit float", 0, 1, 4, false, decode_f32, encode_f32},
    {f16, "f16", "16-bit IEEE float", 1, 1, 2, false, decode_f16, encode_f16},
    {bf16, "bf16", "16-bit float with f32's exponent", 30, 1, 2, false, decode_bf16, encode_bf16},
    {fp8, "fp8", "8-bit float e4m3, an f32 scale every 128 columns", -1, 128, sizeof(BlockFp8),
     true, decode_fp8, nullptr},
    {q4_0, "q4_0", "4-bit, f16 scale every 32", 2, 32, sizeof(BlockQ4_0), false, decode_q4_0,
     nullptr},
    {q4_1, "q4_1", "4-bit, f16 scale and minimum every 32", 3, 32, sizeof(BlockQ4_1), false,
     decode_q4_1, nullptr},
    {q5_0, "q5_0", "5-bit, f16 scale every 32", 6, 32, sizeof(BlockQ5_0), false, decode_q5_0,
     nullptr},
    {q5_1, "q5_1", "5-bit, f16 scale and minimum every 32", 7, 32, sizeof(BlockQ5_1), false,
     decode_q5_1, nullptr},
    {q8_0, "q8_0", "8-bit, f16 scale every 32", 8, 32, sizeof(BlockQ8_0), false, decode_q8_0,
     encode_q8_0},
    {q2_k, "q2_k", "2-bit, 4-bit scales and minima every 16", 10, super_block, sizeof(BlockQ2K),
     false, decode_q2_k, nullptr},
    {q3_k, "q3_k", "3-bit, 6-bit scales every 16", 11, super_block, sizeof(BlockQ3K), false,
     decode_q3_k, nullptr},
    {q4_k, "q4_k", "4-bit, 6-bit scales and minima every 32", 12, super_block, sizeof(BlockQ4K),
     false, decode_q4_k, nullptr},
    {q5_k, "q5_k", "5-bit, 6-bit scales and minima every 32", 13, super_block, sizeof(BlockQ5K),
     false, decode_q5_k, nullptr},
    {q6_k, "q6_k", "6-bit, 8-bit scales every 16", 14, super_block, sizeof(BlockQ6K), false,
     decode_q6_k, nullptr},
    {iq4_nl, "iq4_nl", "4-bit uneven levels, f16 scale every 32", 20, 32, sizeof(BlockIQ4NL), false,
     decode_iq4_nl, nullptr},
    {iq4_xs, "iq4_xs", "4-bit uneven levels, 6-bit scales every 32", 23, super_block,
     sizeof(BlockIQ4XS), false, decode_iq4_xs, nullptr},
    {iq3_s, "iq3_s", "3.4-bit codebook", 21, super_block, sizeof(BlockIQ3S), false, decode_iq3_s,
     nullptr},
    {iq3_xxs, "iq3_xxs", "3.1-bit codebook", 18, super_block, sizeof(BlockIQ3XXS), false,
     decode_iq3_xxs, nullptr},
    {iq2_s, "iq2_s", "2.6-bit codebook", 22, super_block, sizeof(BlockIQ2S), false, decode_iq2_s,
     nullptr},
    {iq2_xs, "iq2_xs", "2.3-bit codebook", 17, super_block, sizeof(BlockIQ2XS), false,
     decode_iq2_xs, nullptr},
    {iq2_xxs, "iq2_xxs", "2.1-bit codebook", 16, super_block, sizeof(BlockIQ2XXS), false,
     decode_iq2_xxs, nullptr},
    {iq1_s, "iq1_s", "1.6-bit codebook", 19, super_block, sizeof(BlockIQ1S), false, decode_iq1_s,
     nullptr},
    {iq1_m, "iq1_m", "1.8-bit codebook", 29, super_block, sizeof(BlockIQ1M), false, decode_iq1_m,
     nullptr},
    {mxfp4, "mxfp4", "4-bit float e2m1, power-of-two scale every 32", 39, 32, sizeof(BlockMxfp4),
     false, decode_mxfp4, nullptr},
    {int8, "int8", "8-bit symmetric, f32 scale a row", -1, 0, sizeof(float), false, decode_int8,
     encode_int8},
    {int8_32, "int8/32", "8-bit symmetric, bf16 scale every 32", -1, 32, sizeof(BlockInt8<32>),
     false, decode_int8_32, encode_int8_32},
    {int8_64, "int8/64", "8-bit symmetric, bf16 scale every 64", -1, 64, sizeof(BlockInt8<64>),
     false, decode_int8_64, encode_int8_64},
    {int8_128, "int8/128", "8-bit symmetric, bf16 scale every 128", -1, 128, sizeof(BlockInt8<128>),
     false, decode_int8_128, encode_int8_128},
    {int4_32, "int4/32", "4-bit, least-squares bf16 scale every 32", -1, 32, sizeof(BlockInt4<32>),
     false, decode_int4_32, encode_int4_32},
    {int4_64, "int4/64", "4-bit, least-squares bf16 scale every 64", -1, 64, sizeof(BlockInt4<64>),
     false, decode_int4_64, encode_int4_64},
    {int4_128, "int4/128", "4-bit, least-squares bf16 scale every 128", -1, 128,
     sizeof(BlockInt4<128>), false, decode_int4_128, encode_int4_128},
};

constexpr bool in_enum_order() {
  for (size_t i = 0; i < std::size(table); ++i)
    if (table[i].format != static_cast<Format>(i)) return false;
  return std::size(table) == static_cast<size_t>(int4_128) + 1;
}
static_assert(in_enum_order());

// Rows longer than this would need care with overflow; none exist.
constexpr int64_t max_cols = int64_t{1} << 48;

}  // namespace

std::span<const FormatInfo> formats() noexcept {
  return table;
}

const FormatInfo& info(Format format) noexcept {
  return table[static_cast<size_t>(format)];
}

std::optional<Format> find_format(std::string_view name) noexcept {
  for (const FormatInfo& row : table)
    if (row.name == name) return row.format;
  return std::nullopt;
}

std::optional<Format> find_ggml_type(int ggml_type) noexcept {
  if (ggml_type < 0) return std::nullopt;
  for (const FormatInfo& row : table)
    if (row.ggml_type == ggml_type) return row.format;
  return std::nullopt;
}

std::vector<std::string> format_names() {
  std::vector<std::string> names;
  for (const FormatInfo& row : table) names.emplace_back(row.name);
  return names;
}

std::vector<std::string> encodable_names() {
  std::vector<std::string> names;
  for (const FormatInfo& row : table)
    if (row.encode) names.emplace_back(row.name);
  return names;
}

bool fits(Format format, int64_t cols) noexcept {
  const FormatInfo& row = info(format);
  if (cols < 0 || cols > max_cols) return false;
  return row.block == 0 || row.partial || cols % row.block == 0;
}

int64_t row_bytes(Format format, int64_t cols) noexcept {
  const FormatInfo& row = info(format);
  if (row.block == 0) return cols + row.block_bytes;
  return (cols + row.block - 1) / row.block * row.block_bytes;
}

double bits_per_weight(Format format) noexcept {
  const FormatInfo& row = info(format);
  return row.block == 0 ? 8.0 : 8.0 * row.block_bytes / row.block;
}

}  // namespace ktx::quant
