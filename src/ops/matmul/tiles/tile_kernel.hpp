// What a row of the matmul table that has tiles does with many tokens, over the tile kernels of one
// ISA.
#pragma once

#include <optional>
#include <span>

#include "ops/matmul/matmul.hpp"
#include "ops/matmul/tiles/tiles.hpp"

namespace ktx::ops {

/// Below, the products of a decode kernel cost less than decoding the weights.
constexpr int64_t least_tokens_on_tiles = 9;

/// The tiles that such a matrix is multiplied with, if there is a kernel for it.
std::optional<ActivationFormat> tile_format(const TileUnit& unit, quant::Format format,
                                            int64_t cols) noexcept;

void pack_tiles(const TileUnit& unit, ActivationFormat to, const TilePackArgs& args) noexcept;

/// The x of all products are the same tiles (MatmulKernel::run_together).
void multiply_tiles(const TileUnit& unit, std::span<const MatmulArgs> products) noexcept;

}  // namespace ktx::ops
