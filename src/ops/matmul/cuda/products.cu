// How products are cut, and the choice of their kernel.
#include <span>

#include "ops/matmul/cuda/products.cuh"
#include "ops/matmul/cuda/tile_products.cuh"

namespace ktx::ops::cuda {

namespace {

const ProductsKernels::OfTokens& kernel_of(const ProductsArgs& args) noexcept {
  const ProductsKernels* kernels = nullptr;
  for (const auto family : {k_products, nibble_products, byte_products, float_products})
    if (kernels == nullptr) kernels = family(args.format);
  if (args.one_token) return kernels->one;
  return args.token_tiles == 1 ? kernels->eight : kernels->sixteen;
}

RunTileProducts tile_kernel_of(X16 format) noexcept {
  RunTileProducts run = nullptr;
  for (const auto family : {k_tile_products, nibble_tile_products, byte_tile_products})
    if (run == nullptr) run = family(format);
  return run;
}

/// Experts with many tokens: row blocks and tiles of tokens as tile_products.cuh has them.
void plan_tile_products(ProductsArgs& args) noexcept {
  ProductPart& part = args.parts[0];
  part.groups = (part.rows + 15) / 16;
  const int rows = args.gated ? tile_rows / 2 : tile_rows;
  args.row_blocks = (part.rows + rows - 1) / rows;
  args.token_tiles = tile_tokens / 8;
}

/// Blocks of few_rows_warps warps that the GPU runs at once.
int resident_blocks(const ProductsArgs& args, const device::Queue& queue) noexcept {
  return device::limits_of(queue.place().index).multiprocessors *
         kernel_of(args).blocks_a_multiprocessor();
}

}  // namespace

void plan_products(ProductsArgs& args, int64_t tokens, const device::Queue& queue,
                   const PartialSpace& space) noexcept {
  const device::CurrentGpu current(queue.place().index);
  const ProductPart& first = args.parts[0];
  const bool pairs_aligned = first.rows % 2 == 0 && first.y_stride % 2 == 0;
  if (args.routing.used != nullptr && args.mean_tokens >= many_tokens && pairs_aligned)
    return plan_tile_products(args);
  const int columns = step_chunks(args.format).columns;
  args.steps = (args.cols + columns - 1) / columns;
  args.one_token = tokens == 1;
  args.token_tiles = tokens <= 8 ? 1 : 2;
  const std::span parts(args.parts, static_cast<size_t>(args.part_count));
  int pairs = 0;  // blocks have pairs of one part: as if all but the last filled theirs
  for (ProductPart& part : parts) {
    part.groups = (part.rows + 15) / 16;
    part.pairs = args.gated ? part.groups : (part.groups + 1) / 2;
    part.aligned = part.rows % 4 == 0 && part.y_stride % 4 == 0;
    pairs = (pairs + few_rows_warps - 1) / few_rows_warps * few_rows_warps + part.pairs;
  }
  const bool experts = args.routing.used != nullptr;  // many tiles, and blocks that take several
  const int64_t token_blocks =
      experts ? 1 : (args.tokens + 8 * args.token_tiles - 1) / (8 * args.token_tiles);
  args.plan =
      few_rows_plan({.pairs = pairs,
                     .steps = args.steps,
                     .tokens = tokens,
                     .token_blocks = token_blocks,
                     .multiprocessors = device::limits_of(queue.place().index).multiprocessors,
                     .resident = resident_blocks(args, queue),
                     .most_warps = experts ? few_rows_warps : most_warps,
                     .most_splits = experts ? 1 : most_splits,
                     .most_blocks = space.tiles,
                     .capacity = space.floats / (args.token_tiles * 8 * 32)});
  args.row_blocks = 0;
  for (ProductPart& part : parts) {
    args.row_blocks += (part.pairs + args.plan.row_warps - 1) / args.plan.row_warps;
    part.end_block = args.row_blocks;
  }
  args.tiles = static_cast<int>(args.row_blocks * token_blocks);
}

void run_products(const ProductsArgs& args, const device::Queue& queue) noexcept {
  const device::CurrentGpu current(queue.place().index);
  if (args.token_tiles > 2) return tile_kernel_of(args.format)(args, queue);
  // Experts are counted on the GPU: as many blocks as run at once take the tiles in turn.
  const int blocks = args.routing.used != nullptr ? resident_blocks(args, queue) : args.tiles;
  kernel_of(args).run(
      args, dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(args.plan.splits)), queue);
}

}  // namespace ktx::ops::cuda
