// Panels: 64 rows x up to 1024 columns of a matrix in Layout::x16, decoded once for all tokens of a
// prompt into what a general matrix product reads as its right operand (oneDNN's BA16a64b and
// BA16a64b4a). Plain structs, for the ISA unit that makes them.
//
//   f32:  of each column the 64 rows: exact for f32, f16, bf16 and fp8 weights
//   int8: of every 4 columns the 64 rows of 4 signed bytes: int8 weights without their row's scale
//
// Activations meet them chunk by chunk of 1024 columns (panel_chunk), the last one up to a multiple
// of 64. A chunk holds all tokens, padded to a multiple of 16, row after row:
//   f32: floats
//   u8:  q + 128, x about scale * q with |q| <= 127; after all rows the f32 scales of the tokens
// Columns and tokens up to the padded number are zero (u8: the columns are 128).
#pragma once

#include <cstdint>

#include "ops/matmul/tiles/tiles.hpp"
#include "ops/matmul/x16_args.hpp"

namespace ktx::ops {

constexpr int64_t panel_rows = 64, panel_chunk = 1024;
constexpr int64_t panel_step = 64;  // columns of a chunk are padded to a multiple of it

constexpr int64_t panel_columns(int64_t cols) {
  return parts_of(cols, panel_step) * panel_step;
}

/// Up to four groups of 16 rows, columns [col, col + cols) of one chunk, to be decoded.
struct PanelArgs {
  const uint8_t* weights = nullptr;  // first group, in Layout::x16
  int64_t group_bytes = 0;
  int64_t groups = 0;  // 1 to 4; rows of the others are zero
  int64_t col = 0, cols = 0;
  uint8_t* panel = nullptr;  // [panel_columns(cols), 64] floats or bytes; 64-byte aligned
  int32_t* sums = nullptr;   // [64] of an int8 panel: the sum of each row
};

/// Adds what a panel gives for some tokens to y, or with `first` puts it there.
struct PanelSumArgs {
  const void* products = nullptr;  // [tokens, 64] floats, or int32 of u8 x int8
  int64_t rows = 0;                // that exist, 1 to 64
  int64_t tokens = 0;
  bool first = true;
  float* y = nullptr;  // y[t * y_stride + r]
  int64_t y_stride = 0;
  // int8 only.
  const int32_t* sums = nullptr;     // of the panel
  const float* x_scales = nullptr;   // [tokens]
  const uint8_t* weights = nullptr;  // the first group, which begins with its rows' scales
  int64_t group_bytes = 0;
};

struct PanelUnit {
  /// Null for formats without panels.
  void (*decode[x16_count])(const PanelArgs& args) noexcept;
  void (*pack_f32)(const TilePackArgs& args) noexcept;
  void (*pack_u8)(const TilePackArgs& args) noexcept;
  void (*add_f32)(const PanelSumArgs& args) noexcept;
  void (*add_int8)(const PanelSumArgs& args) noexcept;
};

extern const PanelUnit x86_avx512_vnni_onednn;

}  // namespace ktx::ops
