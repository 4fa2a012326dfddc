// Rows of the embedding matrix on a GPU: one thread a number, each finding its block and code.
#include <cuda_fp16.h>

#include "core/device/cuda.hpp"
#include "core/quant/blocks.hpp"
#include "core/quant/k_scales.hpp"
#include "ops/cuda/numbers.cuh"
#include "ops/embedding/cuda.hpp"

namespace ktx::ops::cuda {
namespace {

using quant::Format;

/// A format: number `i` of a row.
struct F32 {
  __device__ static float at(const std::byte* row, int64_t i) {
    return reinterpret_cast<const float*>(row)[i];
  }
};
struct F16 {
  __device__ static float at(const std::byte* row, int64_t i) {
    return f16_to_f32(reinterpret_cast<const uint16_t*>(row)[i]);
  }
};
struct BF16 {
  __device__ static float at(const std::byte* row, int64_t i) {
    return bf16_to_f32(reinterpret_cast<const uint16_t*>(row)[i]);
  }
};
struct Int8 {
  __device__ static float at(const std::byte* row, int64_t i) {
    return *reinterpret_cast<const float*>(row) * reinterpret_cast<const int8_t*>(row + 4)[i];
  }
};

__device__ float number(const quant::BlockFp8& b, int i) {
  return b.scale * e4m3_to_f32(b.q[i]);
}
template <int G>
__device__ float number(const quant::BlockInt8<G>& b, int i) {
  return bf16_to_f32(b.scale) * b.q[i];
}
template <int G>
__device__ float number(const quant::BlockInt4<G>& b, int i) {
  const int code = i < G / 2 ? b.q[i] & 15 : b.q[i - G / 2] >> 4;
  return bf16_to_f32(b.scale) * (code - 8);
}
__device__ float number(const quant::BlockQ4_0& b, int i) {
  return f16_to_f32(b.d) * ((i < 16 ? b.qs[i] & 15 : b.qs[i - 16] >> 4) - 8);
}
__device__ float number(const quant::BlockQ8_0& b, int i) {
  return f16_to_f32(b.d) * b.qs[i];
}
__device__ float number(const quant::BlockQ4K& b, int i) {
  const quant::KScaleMin s = quant::k_scale_min(b.scales, i / 32);
  const int code = b.qs[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
  return f16_to_f32(b.d) * s.scale * code - f16_to_f32(b.dmin) * s.min;
}
__device__ float number(const quant::BlockQ5K& b, int i) {
  const quant::KScaleMin s = quant::k_scale_min(b.scales, i / 32);
  const int low = b.qs[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
  const int code = low | (b.qh[i % 32] >> (i / 32) & 1) << 4;
  return f16_to_f32(b.d) * s.scale * code - f16_to_f32(b.dmin) * s.min;
}
__device__ float number(const quant::BlockQ6K& b, int i) {
  const int half = i / 128, quarter = i / 32 % 4, at = i % 32;
  const int low = b.ql[half * 64 + quarter % 2 * 32 + at] >> (quarter / 2 * 4) & 15;
  const int code = low | (b.qh[half * 32 + at] >> (quarter * 2) & 3) << 4;
  return f16_to_f32(b.d) * b.scales[i / 16] * (code - 32);
}

template <class Block, int weights>
struct Blocked {
  __device__ static float at(const std::byte* row, int64_t i) {
    return number(reinterpret_cast<const Block*>(row)[i / weights], static_cast<int>(i % weights));
  }
};

template <class Numbers>
__global__ void embedding_kernel(EmbeddingArgs args, int64_t row_bytes) {
  const int64_t column = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column >= args.cols) return;
  const int32_t id = args.ids[blockIdx.y];
  args.y[blockIdx.y * args.y_stride + column] =
      id < 0 ? 0.0f : Numbers::at(args.weights + id * row_bytes, column);
}

using Kernel = void (*)(EmbeddingArgs, int64_t);

/// Null for the formats of embedding_refusal.
Kernel kernel_of(Format format) noexcept {
  using namespace quant;
  switch (format) {
    case Format::f32:
      return embedding_kernel<F32>;
    case Format::f16:
      return embedding_kernel<F16>;
    case Format::bf16:
      return embedding_kernel<BF16>;
    case Format::int8:
      return embedding_kernel<Int8>;
    case Format::fp8:
      return embedding_kernel<Blocked<BlockFp8, 128>>;
    case Format::int8_32:
      return embedding_kernel<Blocked<BlockInt8<32>, 32>>;
    case Format::int8_64:
      return embedding_kernel<Blocked<BlockInt8<64>, 64>>;
    case Format::int8_128:
      return embedding_kernel<Blocked<BlockInt8<128>, 128>>;
    case Format::int4_32:
      return embedding_kernel<Blocked<BlockInt4<32>, 32>>;
    case Format::int4_64:
      return embedding_kernel<Blocked<BlockInt4<64>, 64>>;
    case Format::int4_128:
      return embedding_kernel<Blocked<BlockInt4<128>, 128>>;
    case Format::q4_0:
      return embedding_kernel<Blocked<BlockQ4_0, 32>>;
    case Format::q8_0:
      return embedding_kernel<Blocked<BlockQ8_0, 32>>;
    case Format::q4_k:
      return embedding_kernel<Blocked<BlockQ4K, 256>>;
    case Format::q5_k:
      return embedding_kernel<Blocked<BlockQ5K, 256>>;
    case Format::q6_k:
      return embedding_kernel<Blocked<BlockQ6K, 256>>;
    default:
      return nullptr;
  }
}

}  // namespace

void embedding(const EmbeddingArgs& args, const device::Queue& queue) noexcept {
  if (args.tokens == 0) return;
  constexpr int threads = 256;
  const dim3 grid(static_cast<unsigned>((args.cols + threads - 1) / threads),
                  static_cast<unsigned>(args.tokens));
  kernel_of(args.format)<<<grid, threads, 0, device::stream_of(queue)>>>(
      args, quant::row_bytes(args.format, args.cols));
}

}  // namespace ktx::ops::cuda
