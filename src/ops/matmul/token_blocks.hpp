// Products with many tokens, in blocks whose activations stay in the L2 cache.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/matmul/decoded_rows.hpp"
#include "ops/matmul/matmul.hpp"
#include "ops/matmul/tiles.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {

/// Tokens of a block: as many as the cache holds of what one pass over the tokens reads, which is a
/// whole row, or in Layout::rows a piece of it (every further block decodes the matrix again). A
/// multiple of 8 tokens fills the kernels' tiles.
inline int64_t tokens_of_block(Layout layout, int64_t row_bytes) noexcept {
  constexpr int64_t cached_bytes = 384 * 1024;
  constexpr int64_t piece_bytes = piece_columns * static_cast<int64_t>(sizeof(float));
  const int64_t read = layout == Layout::rows ? std::min(row_bytes, piece_bytes) : row_bytes;
  return std::max<int64_t>(8, cached_bytes / read / 8 * 8);
}

/// kernel.run over blocks of tokens; kernels over tiles block by themselves.
inline void multiply_in_token_blocks(const MatmulKernel& kernel, const MatmulArgs& args) noexcept {
  if (is_tiles(args.x.format)) return kernel.run(args);
  const int64_t block = tokens_of_block(kernel.layout(args.format), args.x.row_bytes);
  for (int64_t t = 0; t < args.x.tokens; t += block) {
    MatmulArgs part = args;
    part.x.tokens = std::min(block, args.x.tokens - t);
    if (args.x.rows != nullptr)
      part.x.rows = args.x.rows + t;
    else
      part.x.data = args.x.data + t * args.x.row_bytes;
    part.y = args.y + t * args.y_stride;
    kernel.run(part);
  }
}

/// Grain for `items` of the given cost (see parallel_grain): several chunks a worker, for balance,
/// but none too small to be worth handing out.
inline int64_t shared_grain(int64_t items, int64_t cost_of_item, int workers) noexcept {
  constexpr int64_t chunks_of_worker = 16;
  return std::max(parallel_grain(cost_of_item), items / (workers * chunks_of_worker));
}

/// Groups of rows of an item for a kernel over tiles: a whole panel, or less where that shares
/// `groups` out more evenly. An even number: the tile registers hold two groups.
inline int64_t tile_grain(int64_t groups, int workers) noexcept {
  constexpr int64_t most = tile_panel_rows / row_group;
  const int64_t items = parts_of(parts_of(groups, most), workers) * workers;
  return std::min(most, parts_of(groups, 2 * items) * 2);
}

}  // namespace ktx::ops
