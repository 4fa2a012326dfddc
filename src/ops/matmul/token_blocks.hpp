// Products with many tokens, in blocks whose activations stay in the L2 cache.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/matmul/matmul.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {

/// kernel.run over blocks of tokens; a multiple of 8 tokens fills the kernels' tiles. Kernels with
/// bf16 activations decode weights for all tokens at once and block by themselves.
inline void multiply_in_token_blocks(const MatmulKernel& kernel, const MatmulArgs& args) noexcept {
  if (args.x.format == ActivationFormat::bf16) return kernel.run(args);
  constexpr int64_t cached_bytes = 384 * 1024;
  const int64_t block = std::max<int64_t>(8, cached_bytes / args.x.row_bytes / 8 * 8);
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
  constexpr int64_t chunks_of_worker = 6;
  return std::max(parallel_grain(cost_of_item), items / (workers * chunks_of_worker));
}

}  // namespace ktx::ops
