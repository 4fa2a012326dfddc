// What a step of the experts keeps in its scratch, and how its passes share work.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ops/arena.hpp"
#include "ops/linear/linear.hpp"
#include "ops/matmul/matmul.hpp"
#include "ops/matmul/node_rows.hpp"
#include "ops/matmul/tiles/tiles.hpp"
#include "ops/moe/moe.hpp"

namespace ktx::ops {

/// Experts of many tokens whose three matrices all have a kernel over tiles use it.
struct ExpertTiles {
  ActivationFormat x = ActivationFormat::f32, h = ActivationFormat::f32;  // f32: there is none
  int64_t least_tokens = 0;
  // Rows of an item, and pairs multiplied at a time. The h that an item makes is a chunk of int8.
  static constexpr int64_t rows = node_row_unit, tokens = tile_part_tokens;

  bool possible() const noexcept { return x != ActivationFormat::f32; }
};
static_assert(ExpertTiles::rows % int8_chunk == 0);
ExpertTiles expert_tiles(const PackedMatrix& gate, const PackedMatrix& up,
                         const PackedMatrix& down) noexcept;

/// A pair is a token with one of its experts that are here; pairs are sorted by expert, and by
/// token within an expert. An expert is known by its slot; the shared one, which comes last, by the
/// number of all others.
struct MoeWork {
  MoeWork(std::byte* scratch, const MoeScratchArgs& args) noexcept;

  Arena arena;
  ExpertTiles tiles;
  int32_t* begin;   // [experts + 2] first pair of each expert
  int32_t* active;  // [active_count] experts that got tokens
  int64_t active_count = 0, tiled_count = 0;
  int32_t* pair;   // [pairs] index into ids and weights; not of the shared expert's
  int32_t* token;  // [pairs] its token

  // Experts of few tokens.
  std::byte* x;  // [tokens] x as q8
  int64_t x_bytes;
  std::byte* h;  // [pairs] silu(gate) * up, as down's kernel reads it
  int64_t h_bytes;

  // Experts of many tokens: their pairs in blocks of 16.
  int32_t* block;                // [experts + 1] first block of each expert
  std::byte *x_tiles, *h_tiles;  // [blocks]; those of x are needed until products are
  float* products;               // [pairs, hidden] of down, of all experts of a step that has tiles
  int32_t* sorted;               // [tokens * top_k] where the pair of an index into ids is, or -1
  int64_t x_block_bytes, h_block_bytes;

  bool decode_kernels = false;        // of MoeArgs
  int64_t pairs_at_once = INT64_MAX;  // of experts of few tokens

  int64_t pairs(int experts) const noexcept { return begin[experts]; }
  /// Those of the shared expert too.
  int64_t all_pairs(const MoeArgs& args) const noexcept {
    return begin[args.experts] + (args.shared != nullptr ? args.tokens : 0);
  }
  int64_t tokens_of(int expert) const noexcept { return begin[expert + 1] - begin[expert]; }
  /// The number of tokens by which an expert's kernels are chosen.
  int64_t kernel_tokens(int expert) const noexcept {
    return decode_kernels ? 1 : tokens_of(expert);
  }
  bool tiled(int expert) const noexcept {
    return tiles.possible() && kernel_tokens(expert) >= tiles.least_tokens;
  }
};

/// An expert's matrices: the index-th of each.
struct ExpertMatrices {
  const PackedMatrix &gate, &up, &down;
  int index;
};
inline ExpertMatrices matrices_of(const MoeArgs& args, int expert) noexcept {
  if (expert < args.experts) return {args.gate, args.up, args.down, expert};
  return {args.shared->gate, args.shared->up, args.shared->down, 0};
}

/// Sorts the pairs of args; scratch arrays are written.
void sort_pairs(const MoeArgs& args, MoeWork& work) noexcept;

/// Some rows of a matrix, and the node whose worker computes them.
struct ExpertRows {
  int64_t begin, end;
  int node;
};

/// Rows of one expert's matrix times the given activations.
inline MatmulArgs expert_args(const PackedMatrix& matrix, int expert, const Activations& x,
                              const ExpertRows& rows, float* y, int64_t y_stride) noexcept {
  MatmulArgs product = weight_args(matrix, expert, rows.begin, rows.end, rows.node);
  product.x = x;
  product.y = y;
  product.y_stride = y_stride;
  return product;
}

/// The same, multiplied; `next` is read after them (MatmulArgs).
inline void multiply_expert(const MatmulKernel& kernel, const PackedMatrix& matrix, int expert,
                            const Activations& x, const ExpertRows& rows, float* y,
                            int64_t y_stride, const std::byte* next = nullptr) noexcept {
  MatmulArgs product = expert_args(matrix, expert, x, rows, y, y_stride);
  product.next = next;
  kernel.run(product);
}

// ---- experts on tiles (moe_tiles.cpp) ----

/// Packs x of all pairs of experts on tiles.
void pack_expert_tiles(const MoeArgs& args, const MoeWork& work, hw::WorkerPool& pool) noexcept;

/// Intermediate rows of all pairs of one expert: from x to h. At most ExpertTiles::rows of them.
void gate_and_up_tiles(const MoeArgs& args, const MoeWork& work, int expert,
                       const ExpertRows& rows) noexcept;

/// Output rows of all pairs of one expert: from h to products.
void down_tiles(const MoeArgs& args, const MoeWork& work, int expert,
                const ExpertRows& rows) noexcept;

/// y of all tokens, from products.
void sum_products(const MoeArgs& args, const MoeWork& work, hw::WorkerPool& pool) noexcept;

}  // namespace ktx::ops
