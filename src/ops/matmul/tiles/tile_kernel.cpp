// Products with many tokens on the tiles of one ISA.
#include "ops/matmul/tiles/tile_kernel.hpp"

#include <algorithm>

#include "core/hw/cache.hpp"
#include "ops/matmul/layout_x16.hpp"

namespace ktx::ops {
namespace {

// Blocks of the int8 kernels by what the thread has of the L2 cache. Half of it is left to the
// weights that pass through.

/// A quarter is for the sums of a panel's rows and tokens, which are read again with every chunk.
/// More tokens decode the rows' weights less often.
int64_t panel_tokens(int64_t rows) noexcept {
  static const int64_t fit = hw::l2_bytes_of_thread() / 4 / int64_t{sizeof(float)};
  const int64_t tokens = std::clamp(fit / rows, 4 * tile_tokens, int8_panel_sums / rows);
  return tokens / tile_tokens * tile_tokens;
}

/// A quarter is for the chunks of the tokens that all rows of a panel meet.
int64_t panel_chunks(int64_t tokens) noexcept {
  static const int64_t bytes = hw::l2_bytes_of_thread() / 4;
  return std::max<int64_t>(1, bytes / (tokens * int8_chunk));
}

}  // namespace

std::optional<ActivationFormat> tile_format(const TileUnit& unit, quant::Format format,
                                            int64_t cols) noexcept {
  const auto x16 = x16_format(format);
  if (!x16) return std::nullopt;
  const auto& [multiply, int8] = unit.products[static_cast<size_t>(*x16)];
  if (multiply == nullptr) return std::nullopt;
  // Tiles hold whole steps of columns.
  if (cols % (int8 ? int8_step : bf16_step) != 0) return std::nullopt;
  return int8 ? ActivationFormat::int8_tiles : ActivationFormat::bf16_tiles;
}

void pack_tiles(const TileUnit& unit, ActivationFormat to, const TilePackArgs& args) noexcept {
  to == ActivationFormat::bf16_tiles ? unit.pack_bf16(args) : unit.pack_int8(args);
}

void multiply_tiles(const TileUnit& unit, std::span<const MatmulArgs> products) noexcept {
  const MatmulArgs& first = products.front();
  const X16 format = *x16_format(first.format);
  const int64_t rows = first.row_end - first.row_begin;
  const auto matrices = static_cast<int>(products.size());
  const int64_t panel_rows = parts_of(rows, row_group) * row_group * matrices;
  const int64_t tokens = panel_tokens(std::min(panel_rows, int8_panel_rows));
  TileArgs args{.matrices = matrices,
                .group_bytes = x16_group_bytes(format, first.cols),
                .rows = rows,
                .cols = first.cols,
                .x = reinterpret_cast<const uint8_t*>(first.x.data),
                .tokens = first.x.tokens,
                .int8_panel_tokens = tokens,
                .int8_panel_chunks = panel_chunks(std::min(tokens, first.x.tokens)),
                .y_stride = first.y_stride};
  for (size_t i = 0; i < products.size(); ++i) {
    args.weights[i] = reinterpret_cast<const uint8_t*>(products[i].weights) +
                      products[i].row_begin / row_group * args.group_bytes;
    args.y[i] = products[i].y;
  }
  unit.products[static_cast<size_t>(format)].multiply(args);
}

}  // namespace ktx::ops
