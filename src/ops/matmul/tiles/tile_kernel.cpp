// Products with many tokens on the tiles of one ISA.
#include "ops/matmul/tiles/tile_kernel.hpp"

#include "ops/matmul/layout_x16.hpp"

namespace ktx::ops {

std::optional<ActivationFormat> tile_format(const TileUnit& unit, quant::Format format,
                                            int64_t cols) noexcept {
  const auto x16 = x16_format(format);
  // f32 weights lose too much as bf16, and have no such kernel. Tiles hold whole steps of columns.
  const int64_t step = x16 && *x16 == X16::int8 ? int8_step : bf16_step;
  if (!x16 || unit.multiply[static_cast<size_t>(*x16)] == nullptr || cols % step != 0)
    return std::nullopt;
  return *x16 == X16::int8 ? ActivationFormat::int8_tiles : ActivationFormat::bf16_tiles;
}

void pack_tiles(const TileUnit& unit, ActivationFormat to, const TilePackArgs& args) noexcept {
  to == ActivationFormat::bf16_tiles ? unit.pack_bf16(args) : unit.pack_int8(args);
}

void multiply_tiles(const TileUnit& unit, const MatmulArgs& args) noexcept {
  const X16 format = *x16_format(args.format);
  const int64_t group_bytes = x16_group_bytes(format, args.cols);
  unit.multiply[static_cast<size_t>(format)](
      {.weights = reinterpret_cast<const uint8_t*>(args.weights) +
                  args.row_begin / row_group * group_bytes,
       .group_bytes = group_bytes,
       .rows = args.row_end - args.row_begin,
       .cols = args.cols,
       .x = reinterpret_cast<const uint8_t*>(args.x.data),
       .int8_chunk = args.x.int8_chunk,
       .tokens = args.x.tokens,
       .y = args.y,
       .y_stride = args.y_stride});
}

}  // namespace ktx::ops
