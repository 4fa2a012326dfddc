// Multi-head latent attention: appends to the cache and chooses the way to compute it.
#include "ops/attention/mla.hpp"

#include <algorithm>

#include "ops/attention/mla_paths.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {

const MatmulKernel& mla_matmul_kernel(const f32::Kernel& loops, hw::Isa machine,
                                      quant::Format format, int64_t rows, int64_t cols) {
  return best_matmul_kernel(loops.isa == hw::Isa::avx512 ? machine : loops.isa, format, rows, cols);
}

size_t mla_scratch_bytes(const graph::MlaParams& params, const PackedMatrix& k_b,
                         const PackedMatrix& v_b, int64_t max_tokens, int workers) noexcept {
  return std::max(mla_absorbed_scratch_bytes(params, k_b, v_b, max_tokens, workers),
                  mla_expanded_scratch_bytes(params, k_b, v_b, max_tokens, workers));
}

void mla(const MlaArgs& args, hw::WorkerPool& pool) noexcept {
  const graph::MlaParams& p = *args.params;
  const int64_t width = p.kv_lora + p.rope;
  for_each(pool, args.tokens, 4 * width, [&](int64_t t, int) noexcept {
    float* row = args.cache + (args.past + t) * width;
    std::copy_n(args.latent + t * args.latent_stride, p.kv_lora, row);
    std::copy_n(args.k_rope + t * args.k_rope_stride, p.rope, row + p.kv_lora);
    args.rope->rotate(row + p.kv_lora, args.past + t);
  });
  if (expanding_is_cheaper(p, args.past, args.tokens)) {
    mla_expanded(args, pool);
  } else {
    mla_absorbed(args, pool);
  }
}

}  // namespace ktx::ops
