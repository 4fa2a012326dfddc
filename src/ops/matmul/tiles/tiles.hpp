// What the tile kernels (AMX, AVX-512 BF16) are given and export: plain
// structs, for the ISA units.
//
// Activations come in blocks of 16 tokens and chunks of columns: chunk after chunk, all blocks of a
// chunk after each other, so that a panel of weights meets them in one stream. A block of a chunk
// is tiles of 16 rows of 64 bytes:
//   bf16: a tile every 32 columns, the right operand: 32-bit word t of row d is the pair of columns
//         2 c, 2 c + 1 of token t, c = tile_pair(d). Weights are decoded to the left operand, with
//         their pairs in the same order.
//   int8: a tile every 64 columns, the left operand: row t is token t. Behind the tiles of a chunk
//         the 16 f32 scales of the tokens. Weights are made the right operand.
// Tokens and columns up to whole tiles are zero.
#pragma once

#include <cstdint>

#include "ops/matmul/x16_args.hpp"

namespace ktx::ops {

constexpr int64_t tile_tokens = 16, tile_bytes = 1024;
constexpr int64_t bf16_step = 32, int8_step = 64;  // columns of a tile

/// Columns of a chunk. bf16: what a panel of weights is decoded in. int8: what shares a scale, of
/// weights and of activations: the sums of a chunk cost 48 instructions of the vector ports a tile
/// to scale and add, 24 cycles where the tile unit took 64.
constexpr int64_t bf16_chunk = 512, int8_chunk = 256;

/// Activations may be packed in parts of so many columns: whole chunks of every kind.
constexpr int64_t pack_columns = 1024;

/// Tokens whose tiles lie together: what a kernel is given at a time.
constexpr int64_t tile_part_tokens = 256;

/// The most rows, of all matrices, that the int8 kernels multiply at a time, and their sums with
/// all tokens of a panel. How many tokens it is follows from the rows and from the L2 cache, where
/// the sums stay.
constexpr int64_t int8_panel_rows = 512, int8_panel_sums = int8_panel_rows * 192;

constexpr int64_t bf16_chunk_bytes = bf16_chunk / bf16_step * tile_bytes;
constexpr int64_t int8_chunk_bytes = int8_chunk / int8_step * tile_bytes + 64;
constexpr int64_t parts_of(int64_t count, int64_t size) {
  return (count + size - 1) / size;
}

/// The pair of columns in 32-bit word `word` of a bf16 tile: the order in which the decoder of
/// 4-bit codes finds them without moving any. It is its own inverse up to the transposition of the
/// 4 x 4 words.
constexpr int tile_pair(int word) {
  constexpr int order[4] = {0, 2, 1, 3};
  return 4 * (word % 4) + order[word / 4];
}

/// When the data of a tile is loaded again. Late: other data should rather stay in the L1 cache.
enum class Again : uint8_t { soon, late };

/// Matrices multiplied at once by the same tokens: an expert's gate and up.
constexpr int most_matrices = 2;

/// y[t, r] = x[t] . w[r] for consecutive groups of 16 rows, of each matrix.
struct TileArgs {
  int matrices = 1;
  const uint8_t* weights[most_matrices] = {};  // first group, in Layout::x16
  int64_t group_bytes = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  const uint8_t* x = nullptr;  // tiles of all columns of the tokens
  int64_t tokens = 0;
  int64_t int8_panel_tokens = 0;  // a multiple of 16, with no more sums than the constant
  int64_t int8_panel_chunks = 0;  // that all rows of a panel meet before the next
  float* y[most_matrices] = {};   // y[t * y_stride + r]
  int64_t y_stride = 0;
};

/// Up to 16 rows of floats that become columns [col, col + cols) of one block. col is a multiple of
/// 32 for bf16, of the chunk for int8.
struct TilePackArgs {
  const float* x = nullptr;  // row t at x + x_stride * (rows ? rows[t] : t)
  int64_t x_stride = 0;
  const int32_t* rows = nullptr;
  int64_t tokens = 0;
  int64_t col = 0, cols = 0;
  uint8_t* tiles = nullptr;
  int64_t block = 0, blocks = 0;  // this one, and how many there are
};

/// How a format is multiplied: in int8, or in bf16.
struct TileProduct {
  void (*multiply)(const TileArgs& args) noexcept = nullptr;  // null: there is no kernel
  bool int8 = false;
};

/// The tile kernels of one ISA.
struct TileUnit {
  TileProduct products[x16_count];
  void (*pack_bf16)(const TilePackArgs& args) noexcept;
  void (*pack_int8)(const TilePackArgs& args) noexcept;
};

extern const TileUnit x86_amx_int8;
extern const TileUnit x86_amx_bf16;
extern const TileUnit x86_avx512_bf16;  // floats alone

}  // namespace ktx::ops
