// Rows of a packed matrix as bf16, for every format of Layout::x16.
#include "ops/matmul/cuda/decode_rows.hpp"

#include "core/device/cuda.hpp"
#include "ops/cuda/warp.cuh"
#include "ops/matmul/cuda/x16_decode.hpp"

namespace ktx::ops::cuda {

namespace {

constexpr int threads = 256;

template <size_t Words>
struct Codebook {
  uint64_t codes[Words];
};
template <size_t Words>
constexpr Codebook<Words> copy_of(const uint64_t (&codes)[Words]) {
  Codebook<Words> copy{};
  for (size_t i = 0; i < Words; ++i) copy.codes[i] = codes[i];
  return copy;
}
__device__ const auto iq3_s = copy_of(quant::iq3_s_codes);
__device__ const auto iq3_xxs = copy_of(quant::iq3_xxs_codes);
__device__ const auto iq2_s = copy_of(quant::iq2_s_codes);
__device__ const auto iq2_xs = copy_of(quant::iq2_xs_codes);
__device__ const auto iq2_xxs = copy_of(quant::iq2_xxs_codes);
__device__ const auto iq1 = copy_of(quant::iq1_codes);

struct DeviceCodebooks {
  template <X16 Format>
  __device__ static const uint64_t* codes() {
    if constexpr (Format == X16::iq3_s) return iq3_s.codes;
    if constexpr (Format == X16::iq3_xxs) return iq3_xxs.codes;
    if constexpr (Format == X16::iq2_s) return iq2_s.codes;
    if constexpr (Format == X16::iq2_xs) return iq2_xs.codes;
    if constexpr (Format == X16::iq2_xxs) return iq2_xxs.codes;
    return iq1.codes;
  }
};

// A thread decodes 8 columns of one row: 16 neighbours read consecutive bytes, two write 32 of
// them.
template <X16 Format>
__global__ void __launch_bounds__(threads) decode_kernel(DecodeRowsArgs args) {
  const int64_t column = 8 * (int64_t{blockIdx.x} * (threads / 16) + threadIdx.x / 16);
  if (column >= args.cols) return;
  const int row = threadIdx.x % 16;
  const uint8_t* group = args.groups + blockIdx.y * args.group_bytes;
  float w[8];
  decode_8<Format, DeviceCodebooks>(
      [group](int64_t offset) { return *reinterpret_cast<const uint32_t*>(group + offset); }, row,
      column, w);
  *reinterpret_cast<uint4*>(args.out + (int64_t{blockIdx.y} * 16 + row) * args.cols + column) = {
      bf16_pair(w[0], w[1]), bf16_pair(w[2], w[3]), bf16_pair(w[4], w[5]), bf16_pair(w[6], w[7])};
}

}  // namespace

void decode_rows(const DecodeRowsArgs& args, const device::Queue& queue) noexcept {
  const dim3 grid(device::blocks_for(args.cols, 8 * (threads / 16)),
                  static_cast<unsigned>(args.group_count));
  with_x16(args.format, [&]<X16 Format>() {
    decode_kernel<Format><<<grid, threads, 0, device::stream_of(queue)>>>(args);
  });
}

}  // namespace ktx::ops::cuda
