// Experts of many tokens, on tiles: a part of an expert's pairs and rows at a time.
#include <array>

#include "ops/moe/moe_work.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

/// A product of one part.
constexpr int64_t product_size = ExpertTiles::tokens * ExpertTiles::rows;

/// Some pairs of an expert whose tiles lie together, from a whole block on.
struct PairRange {
  int64_t pair, count;    // first pair, pairs
  int64_t block, blocks;  // first block, blocks
};

/// body(PairRange) for all pairs of an expert, ExpertTiles::tokens at a time.
template <class Body>
void for_parts(const MoeWork& work, int expert, const Body& body) noexcept {
  const int64_t pairs = work.tokens_of(expert);
  for (int64_t i = 0; i < pairs; i += ExpertTiles::tokens) {
    const int64_t count = std::min(ExpertTiles::tokens, pairs - i);
    body(PairRange{work.begin[expert] + i, count, work.block[expert] + i / tile_tokens,
                   parts_of(count, tile_tokens)});
  }
}

Activations activations(const std::byte* tiles, int64_t block_bytes, ActivationFormat format,
                        const PairRange& part) noexcept {
  return {.format = format, .data = tiles + part.block * block_bytes, .tokens = part.count};
}

uint8_t* tiles_at(std::byte* tiles, int64_t offset) noexcept {
  return reinterpret_cast<uint8_t*>(tiles + offset);
}

/// Columns of x from col on of one of the part's blocks.
void pack_x(const MoeArgs& args, const MoeWork& work, const PairRange& part, int64_t block,
            int64_t col) noexcept {
  args.gate.prefill->pack_tiles(work.tiles.x,
                                {.x = args.x + col,
                                 .x_stride = args.x_stride,
                                 .rows = work.token + part.pair + block * tile_tokens,
                                 .tokens = std::min(tile_tokens, part.count - block * tile_tokens),
                                 .col = col,
                                 .cols = std::min(pack_columns, args.hidden - col),
                                 .tiles = tiles_at(work.x_tiles, part.block * work.x_block_bytes),
                                 .block = block,
                                 .blocks = part.blocks});
}

/// Columns [rows.begin, rows.end) of h of one block, from h [tile_tokens, stride].
void pack_h(const MoeArgs& args, const MoeWork& work, const PairRange& part, int64_t block,
            const ExpertRows& rows, const float* h, int64_t stride) noexcept {
  args.down.prefill->pack_tiles(work.tiles.h,
                                {.x = h,
                                 .x_stride = stride,
                                 .tokens = std::min(tile_tokens, part.count - block * tile_tokens),
                                 .col = rows.begin,
                                 .cols = rows.end - rows.begin,
                                 .tiles = tiles_at(work.h_tiles, part.block * work.h_block_bytes),
                                 .block = block,
                                 .blocks = part.blocks});
}

/// The expert that a block belongs to.
int expert_of(const MoeWork& work, int experts, int64_t block) noexcept {
  return static_cast<int>(std::upper_bound(work.block, work.block + experts + 1, block) -
                          work.block) -
         1;
}

}  // namespace

void pack_expert_tiles(const MoeArgs& args, const MoeWork& work, hw::WorkerPool& pool) noexcept {
  const int64_t pieces = parts_of(args.hidden, pack_columns);
  for_each(pool, work.block[args.experts] * pieces, tile_tokens * pack_columns,
           [&](int64_t i, int) noexcept {
             const int64_t block = i / pieces, col = i % pieces * pack_columns;
             const int expert = expert_of(work, args.experts, block);
             for_parts(work, expert, [&](const PairRange& part) noexcept {
               if (block >= part.block && block < part.block + part.blocks)
                 pack_x(args, work, part, block - part.block, col);
             });
           });
}

void gate_and_up_tiles(const MoeArgs& args, const MoeWork& work, int expert,
                       const ExpertRows& rows) noexcept {
  alignas(64) float gate[product_size];
  alignas(64) float up[product_size];
  const int64_t stride = ExpertTiles::rows;
  for_parts(work, expert, [&](const PairRange& part) noexcept {
    const Activations x = activations(work.x_tiles, work.x_block_bytes, work.tiles.x, part);
    const std::array products{expert_args(args.gate, expert, x, rows, gate, stride),
                              expert_args(args.up, expert, x, rows, up, stride)};
    if (args.gate.format == args.up.format) {
      args.gate.prefill->run_together(products);
    } else {
      args.gate.prefill->run(products[0]);
      args.up.prefill->run(products[1]);
    }
    for (int64_t i = 0; i < part.count; ++i)
      args.silu->functions->silu_mul(gate + i * stride, up + i * stride, gate + i * stride,
                                     rows.end - rows.begin);
    for (int64_t b = 0; b < part.blocks; ++b)
      pack_h(args, work, part, b, rows, gate + b * tile_tokens * stride, stride);
  });
}

void down_tiles(const MoeArgs& args, const MoeWork& work, int expert,
                const ExpertRows& rows) noexcept {
  for_parts(work, expert, [&](const PairRange& part) noexcept {
    const Activations h = activations(work.h_tiles, work.h_block_bytes, work.tiles.h, part);
    multiply_expert(*args.down.prefill, args.down, expert, h, rows,
                    work.products + part.pair * args.hidden + rows.begin, args.hidden);
  });
}

void sum_products(const MoeArgs& args, const MoeWork& work, hw::WorkerPool& pool) noexcept {
  for_each(pool, args.tokens, args.top_k * args.hidden, [&](int64_t t, int) noexcept {
    float* y = args.y + t * args.y_stride;
    std::fill_n(y, args.hidden, 0.0f);
    for (int64_t p = t * args.top_k; p < (t + 1) * args.top_k; ++p) {
      if (work.sorted[p] < 0) continue;
      const float* product = work.products + work.sorted[p] * args.hidden;
      for (int64_t r = 0; r < args.hidden; ++r) y[r] += args.weights[p] * product[r];
    }
  });
}

}  // namespace ktx::ops
