// Size of activation rows and the scalar q8 quantization.
#include "ops/matmul/activation.hpp"

#include <bit>
#include <cmath>

namespace ktx::ops {
namespace {

constexpr int64_t align64(int64_t bytes) {
  return (bytes + 63) / 64 * 64;
}

// Blocks whose largest magnitude is below this are zero: the inverse scale would overflow.
constexpr float smallest_block = 1e-30f;

// As integers, magnitudes order like the floats and a NaN is the largest of all.
float absmax(const float* x) noexcept {
  uint32_t most = 0;
  for (int64_t i = 0; i < q8_block; ++i) {
    const uint32_t magnitude = std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu;
    most = magnitude > most ? magnitude : most;
  }
  return std::bit_cast<float>(most);
}

int8_t quantized(float x, float inverse) noexcept {
  const float scaled = x * inverse;
  if (!(scaled > -127.5f && scaled < 127.5f)) return 0;  // NaN or infinity; the scale carries it
  return static_cast<int8_t>(std::nearbyint(scaled));
}

}  // namespace

Q8Offsets q8_offsets(int64_t cols) noexcept {
  const int64_t blocks = (cols + q8_block - 1) / q8_block;
  const int64_t scales = align64(cols);
  const int64_t sums = scales + align64(blocks * 4);
  const int64_t half_sums = sums + align64(blocks * 4);
  return {scales, sums, half_sums, half_sums + align64(blocks * 8)};
}

int64_t activation_row_bytes(ActivationFormat format, int64_t cols) noexcept {
  switch (format) {
    case ActivationFormat::q8:
      return q8_offsets(cols).size;
    case ActivationFormat::bf16:
      return align64(cols * 2);
    default:
      return align64(cols * 4);
  }
}

QuantizeArgs q8_quantize_args(const float* x, int64_t cols, int64_t block_begin, int64_t block_end,
                              std::byte* row) noexcept {
  const Q8Offsets at = q8_offsets(cols);
  return {.x = x,
          .blocks = block_end - block_begin,
          .q = reinterpret_cast<int8_t*>(row) + block_begin * q8_block,
          .scales = reinterpret_cast<float*>(row + at.scales) + block_begin,
          .sums = reinterpret_cast<float*>(row + at.sums) + block_begin,
          .half_sums = reinterpret_cast<float*>(row + at.half_sums) + block_begin * 2};
}

void quantize_q8(const QuantizeArgs& args) noexcept {
  for (int64_t b = 0; b < args.blocks; ++b) {
    const float* x = args.x + b * q8_block;
    const float most = absmax(x);
    const bool zero = most < smallest_block;
    const float inverse = zero ? 0.0f : 127.0f / most;
    const float scale = zero ? 0.0f : most / 127.0f;
    int half[2] = {0, 0};
    for (int64_t i = 0; i < q8_block; ++i) {
      const int8_t q = quantized(x[i], inverse);
      args.q[b * q8_block + i] = q;
      half[i / 16] += q;
    }
    args.scales[b] = scale;
    args.sums[b] = scale * static_cast<float>(half[0] + half[1]);
    args.half_sums[b * 2] = scale * static_cast<float>(half[0]);
    args.half_sums[b * 2 + 1] = scale * static_cast<float>(half[1]);
  }
}

}  // namespace ktx::ops
