// Products with many tokens on the tiles of one ISA.
#include "ops/matmul/tiles/tile_kernel.hpp"

#include <algorithm>

#include "core/hw/cache.hpp"
#include "ops/matmul/layout_x16.hpp"

namespace ktx::ops {
namespace {

/// Of a panel's tokens the sums are read again with every chunk of columns, and the chunk of the
/// tokens with every unit of rows, while the next comes. Half of the cache is left to the weights
/// that pass through.
int64_t panel_tokens() noexcept {
  constexpr int64_t bytes_of_token = int8_panel_rows * int64_t{sizeof(float)} + 2 * int8_chunk;
  static const int64_t fit = hw::l2_bytes_of_thread() / 2 / bytes_of_token / tile_tokens;
  return std::clamp<int64_t>(fit * tile_tokens, 4 * tile_tokens, int8_panel_tokens);
}

}  // namespace

std::optional<ActivationFormat> tile_format(const TileUnit& unit, quant::Format format,
                                            int64_t cols) noexcept {
  const auto x16 = x16_format(format);
  if (!x16 || unit.multiply[static_cast<size_t>(*x16)] == nullptr) return std::nullopt;
  const bool int8 = unit.pack_int8 != nullptr && x16_activation(*x16) == ActivationFormat::q8;
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
  TileArgs args{.matrices = static_cast<int>(products.size()),
                .group_bytes = x16_group_bytes(format, first.cols),
                .rows = first.row_end - first.row_begin,
                .cols = first.cols,
                .x = reinterpret_cast<const uint8_t*>(first.x.data),
                .tokens = first.x.tokens,
                .int8_panel_tokens = panel_tokens(),
                .y_stride = first.y_stride,
                .y_is_read_late = first.y_is_read_late};
  for (size_t i = 0; i < products.size(); ++i) {
    args.weights[i] = reinterpret_cast<const uint8_t*>(products[i].weights) +
                      products[i].row_begin / row_group * args.group_bytes;
    args.y[i] = products[i].y;
  }
  unit.multiply[static_cast<size_t>(format)](args);
}

}  // namespace ktx::ops
