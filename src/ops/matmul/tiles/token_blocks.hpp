// Products with many tokens, in blocks whose activations stay in the L2 cache.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/matmul/decoded_rows.hpp"
#include "ops/matmul/matmul.hpp"
#include "ops/matmul/tiles/tiles.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {

/// Most tokens of a block: as many as the cache holds of what one pass over the tokens reads, which
/// is a whole row, or in Layout::rows a piece of it. Every further block decodes the matrix again:
/// of rows too long for the cache there are 16 at least.
inline int64_t tokens_of_block(Layout layout, int64_t row_bytes) noexcept {
  constexpr int64_t cached_bytes = 640 * 1024, least = 16;
  constexpr int64_t piece_bytes = piece_columns * static_cast<int64_t>(sizeof(float));
  const int64_t read = layout == Layout::rows ? std::min(row_bytes, piece_bytes) : row_bytes;
  return std::max(least, cached_bytes / read / 8 * 8);
}

/// kernel.run over blocks of tokens, equal but for whole tiles of 8 tokens: a small rest would cost
/// as much as many tokens. At most `limit` tokens a block. Kernels over tiles block by themselves.
inline void multiply_in_token_blocks(const MatmulKernel& kernel, const MatmulArgs& args,
                                     int64_t limit = INT64_MAX) noexcept {
  if (is_tiles(args.x.format)) return kernel.run(args);
  const int64_t most =
      std::min(limit, tokens_of_block(kernel.layout(args.format), args.x.row_bytes));
  const int64_t tokens = args.x.tokens, blocks = (tokens + most - 1) / most;
  const int64_t tile = std::min<int64_t>(8, most);
  const auto begin_of = [&](int64_t i) { return (tokens + tile - 1) / tile * i / blocks * tile; };
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t begin = begin_of(i);
    MatmulArgs part = args;
    part.x.tokens = std::min(begin_of(i + 1), tokens) - begin;
    if (args.x.rows != nullptr)
      part.x.rows = args.x.rows + begin;
    else
      part.x.data = args.x.data + begin * args.x.row_bytes;
    part.y = args.y + begin * args.y_stride;
    kernel.run(part);
  }
}

/// Grain for `items` of the given cost (see parallel_grain): several chunks a worker, for balance,
/// the last ones smaller, but none too small to be worth handing out.
inline hw::Grain shared_grain(int64_t items, int64_t cost_of_item, int workers) noexcept {
  constexpr int64_t chunks_of_worker = 16;
  const int64_t worth = parallel_grain(cost_of_item);
  const int64_t most = std::max(worth, items / (workers * chunks_of_worker));
  return {most, std::max(worth, most / 8)};
}

/// Groups of rows of an item for a kernel over tiles: those that the int8 kernels take at once of
/// one of two matrices, or less where that shares `groups` out more evenly. An even number: the
/// tile registers hold two groups.
inline int64_t tile_grain(int64_t groups, int workers) noexcept {
  constexpr int64_t most = int8_panel_rows / most_matrices / row_group;
  const int64_t items = parts_of(parts_of(groups, most), workers) * workers;
  return std::min(most, parts_of(groups, 2 * items) * 2);
}

}  // namespace ktx::ops
