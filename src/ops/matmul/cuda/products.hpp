// Products as their kernels are given them: what matmul and moe of a GPU are made of. With few
// tokens a tile (products.cuh), of experts with many tokens too (tile_products.cuh).
#pragma once

#include <cstdint>

#include "core/device/queue.hpp"
#include "ops/matmul/cuda/few_rows_index.hpp"
#include "ops/matmul/cuda/routed_tiles.hpp"

namespace ktx::ops::cuda {

/// The packed matrices of one expert in a GPU's memory; gate null: it is not there.
struct ExpertWeights {
  const uint8_t* gate = nullptr;
  const uint8_t* up = nullptr;
  const uint8_t* down = nullptr;
};

/// Which row of activations belongs to a position of the tokens.
enum class RowOf : uint8_t { position, token };

/// A matrix of a launch, or one of each expert, and where its product goes.
struct ProductPart {
  int rows = 0;
  const uint8_t* weights = nullptr;  // of one matrix, or of gate; not of experts
  const uint8_t* up = nullptr;       // of a gated product
  float* y = nullptr;                // one of the two
  uint16_t* y_bf16 = nullptr;        //
  int64_t y_stride = 0;              // in numbers
  const float* add = nullptr;        // is added to y; strides as y

  // Filled in by plan_products().
  int groups = 0;        // of 16 rows
  int pairs = 0;         // of groups
  int end_block = 0;     // its row blocks end here, and begin where those of the part before end
  bool aligned = false;  // rows of y may be stored by fours
};
constexpr int most_parts = 8;

/// With so many tokens of an expert or more, blocks of so many of them, and of so many rows, gate's
/// and up's together. With fewer, decoding weights for all of a block costs more than it saves.
constexpr int64_t many_tokens = 128;
constexpr int tile_tokens = 128, tile_rows = 128;

struct ProductsArgs {
  X16 format = X16::f32;  // what all parts share
  int cols = 0;
  int64_t group_bytes = 0;
  int part_count = 1;  // experts: 1
  ProductPart parts[most_parts];
  bool gated = false;  // y = silu(gate x) * (up x)

  int tokens = 0;  // positions; or of experts:
  Routing routing;
  int64_t mean_tokens = 0;  // of an expert, about
  const ExpertWeights* experts = nullptr;

  const uint16_t* x = nullptr;  // bf16
  int64_t x_stride = 0;         // in numbers, a multiple of 8
  RowOf x_row = RowOf::position;
  RowOf y_row = RowOf::position;

  float* partial = nullptr;     // sums of shares, where there is space for them
  unsigned* arrived = nullptr;  // [tiles] zero, and left so

  // Filled in by plan_products().
  FewRowsPlan plan{};
  int token_tiles = 1;     // of 8 tokens in a tile of work: 1, 2, or with many tokens 16
  bool one_token = false;  // no tile has more
  int steps = 0;           // of the columns
  int row_blocks = 0;      // of row_warps pairs, of all parts
  int tiles = 0;           // without experts
};

/// Memory for the sums of shares.
struct PartialSpace {
  int64_t floats = 0;  // at args.partial
  int64_t tiles = 0;   // at args.arrived
};

/// Cuts the work; tokens: args.tokens, or those that one expert may get.
void plan_products(ProductsArgs& args, int64_t tokens, const device::Queue& queue,
                   const PartialSpace& space = {}) noexcept;

/// Launches what has been planned.
void run_products(const ProductsArgs& args, const device::Queue& queue) noexcept;

}  // namespace ktx::ops::cuda
