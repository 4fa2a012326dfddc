// Multi-head latent attention on a GPU in its absorbed form: queries and sums have the width of the
// latents, and all heads of a row share the cached rows as keys and values.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "ops/attention/cuda_batch.hpp"
#include "ops/attention/cuda_heads.hpp"

namespace ktx::device {
struct GpuLimits;
}

namespace ktx::ops::cuda {

/// The sizes that the tiles are made for: DeepSeek-V2's, V3's and Kimi's.
constexpr int mla_latents = 512, mla_rope = 64, mla_row = mla_latents + mla_rope;

/// Rows [row_begin, row_end) of the batch, whose tokens are in the cache, attend causally. All in
/// the GPU's memory.
struct AbsorbedArgs {
  Batch batch;    // its rows are numbered
  KvPages cache;  // bf16 or fp8
  int64_t row_begin = 0, row_end = 0;
  int heads = 0;
  float scale = 1;               // of q.k
  const uint16_t* q = nullptr;   // bf16 [row_end - row_begin, heads, mla_row], rotated
  uint16_t* out = nullptr;       // bf16 [row_end - row_begin, heads, mla_latents]
  std::byte* scratch = nullptr;  // absorbed_scratch_bytes() bytes, 16-byte aligned
};

struct AbsorbedWork;

/// A way to compute it: "wgmma" on tensor cores of sm_90; "mma_64" and "mma_32" on those from sm_80
/// on, by the heads of a block.
struct AbsorbedKernel {
  const char* name;
  int heads_per_block;
  /// Empty when it runs on such a GPU, else the reason.
  std::string (*refusal)(const device::GpuLimits& limits);
  void (*run)(const AbsorbedWork& work, const device::Queue& queue) noexcept;
};
/// Best first.
std::span<const AbsorbedKernel* const> absorbed_kernels() noexcept;
bool runs_here(const AbsorbedKernel& kernel, const device::Queue& queue) noexcept;
/// The first that the queue's GPU can run.
const AbsorbedKernel& best_absorbed_kernel(const device::Queue& queue) noexcept;

/// multiprocessors: of the GPU.
size_t absorbed_scratch_bytes(int heads, int multiprocessors) noexcept;

/// What comes of a row is a function of it and of how many pages each of the rows sees: they decide
/// where its keys are cut into partial sums.
void attend_absorbed(const AbsorbedKernel& kernel, const AbsorbedArgs& args,
                     const device::Queue& queue) noexcept;

/// What becomes of the sums of few rows: out[r, h, :] = v_b[h] sums[r, h, :].
struct AbsorbedValues {
  HeadMatrices v_b;  // [heads, v, mla_latents]
  int v = 0;
  uint16_t* out = nullptr;  // bf16 [rows, heads, v]; of unused rows zero
};
constexpr int most_value_rows = 8;

/// The same, 1 to most_value_rows rows, and their values in the launch that merges partial sums.
/// args.out is room for the sums.
void attend_absorbed(const AbsorbedKernel& kernel, const AbsorbedArgs& args,
                     const AbsorbedValues& values, const device::Queue& queue) noexcept;

}  // namespace ktx::ops::cuda
