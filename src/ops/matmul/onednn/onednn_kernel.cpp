// Products over panels: each panel is decoded once and multiplied with all tokens by oneDNN.
#include "ops/matmul/onednn/onednn_kernel.hpp"

#include <algorithm>

#include "ops/matmul/layout_x16.hpp"
#include "ops/matmul/onednn/onednn.hpp"
#include "ops/matmul/onednn/onednn_panels.hpp"

namespace ktx::ops {
namespace {

const PanelUnit& unit = x86_avx512_vnni_onednn;

PanelType type_of(quant::Format format) noexcept {
  return format == quant::Format::int8 ? PanelType::int8 : PanelType::f32;
}

/// The activations of one chunk of columns.
struct Chunk {
  int64_t col, cols;
  const uint8_t* rows;
  const float* scales;  // of u8
  int64_t row_bytes;
};

Chunk chunk_of(const MatmulArgs& args, int64_t col) noexcept {
  const bool u8 = args.x.format == ActivationFormat::u8_chunks;
  const int64_t tokens = parts_of(args.x.tokens, tile_tokens) * tile_tokens;
  const int64_t whole = u8 ? panel_chunk + 4 : panel_chunk * 4;  // bytes of a token
  Chunk chunk{};
  chunk.col = col;
  chunk.cols = std::min(panel_chunk, args.cols - col);
  chunk.rows = reinterpret_cast<const uint8_t*>(args.x.data) + col / panel_chunk * tokens * whole;
  chunk.row_bytes = panel_columns(chunk.cols) * (u8 ? 1 : 4);
  chunk.scales = reinterpret_cast<const float*>(chunk.rows + tokens * chunk.row_bytes);
  return chunk;
}

/// One panel, from row `row` of the matrix on, times one chunk of all tokens.
void multiply_panel(const MatmulArgs& args, const Chunk& chunk, int64_t row) noexcept {
  alignas(64) uint8_t panel[panel_chunk * panel_rows * sizeof(float)];
  alignas(64) uint8_t products[panel_tokens * panel_rows * sizeof(float)];
  int32_t sums[panel_rows];
  const X16 format = *x16_format(args.format);
  const PanelType type = type_of(args.format);
  const int64_t group_bytes = x16_group_bytes(format, args.cols);
  const int64_t rows = std::min(panel_rows, args.row_end - row);
  const auto* weights =
      reinterpret_cast<const uint8_t*>(args.weights) + row / row_group * group_bytes;
  unit.decode[static_cast<size_t>(format)]({.weights = weights,
                                            .group_bytes = group_bytes,
                                            .groups = parts_of(rows, row_group),
                                            .col = chunk.col,
                                            .cols = chunk.cols,
                                            .panel = panel,
                                            .sums = sums});
  for (int64_t t = 0; t < args.x.tokens; t += panel_tokens) {
    const int64_t tokens = std::min(panel_tokens, args.x.tokens - t);
    onednn_multiply({.type = type,
                     .tokens = parts_of(tokens, tile_tokens) * tile_tokens,
                     .cols = panel_columns(chunk.cols),
                     .x = chunk.rows + t * chunk.row_bytes,
                     .panel = panel,
                     .products = products});
    const auto add = type == PanelType::int8 ? unit.add_int8 : unit.add_f32;
    add({.products = products,
         .rows = rows,
         .tokens = tokens,
         .first = chunk.col == 0,
         .y = args.y + t * args.y_stride + row - args.row_begin,
         .y_stride = args.y_stride,
         .sums = sums,
         .x_scales = chunk.scales + t,
         .weights = weights,
         .group_bytes = group_bytes});
  }
}

}  // namespace

std::string panel_refusal(quant::Format format, int64_t, int64_t cols) {
  const auto x16 = x16_format(format);
  if (!x16 || unit.decode[static_cast<size_t>(*x16)] == nullptr)
    return "multiplies by f32, f16, bf16, fp8 and int8, not by " + std::string(quant::name(format));
  return onednn_refusal(type_of(format), cols);
}

ActivationFormat panel_activation(quant::Format format, int64_t) noexcept {
  return type_of(format) == PanelType::int8 ? ActivationFormat::u8_chunks
                                            : ActivationFormat::f32_chunks;
}

int64_t panel_activation_bytes(ActivationFormat format, int64_t cols, int64_t tokens) noexcept {
  const int64_t rows = parts_of(tokens, tile_tokens) * tile_tokens;
  return format == ActivationFormat::f32_chunks
             ? rows * panel_columns(cols) * 4
             : rows * (panel_columns(cols) + parts_of(cols, panel_chunk) * 4);
}

void pack_for_panels(ActivationFormat to, const TilePackArgs& args) noexcept {
  to == ActivationFormat::u8_chunks ? unit.pack_u8(args) : unit.pack_f32(args);
}

void multiply_panels(const MatmulArgs& args) noexcept {
  for (int64_t row = args.row_begin; row < args.row_end; row += panel_rows)
    for (int64_t col = 0; col < args.cols; col += panel_chunk)
      multiply_panel(args, chunk_of(args, col), row);
}

}  // namespace ktx::ops
