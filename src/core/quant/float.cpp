// f32, f16 and bf16 rows.
#include <cstring>

#include "core/quant/codecs.hpp"
#include "core/quant/half.hpp"

namespace ktx::quant {
namespace {

template <float (*Convert)(uint16_t)>
void decode_16(const std::byte* row, float* out, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    uint16_t bits;
    std::memcpy(&bits, row + 2 * i, 2);
    out[i] = Convert(bits);
  }
}

template <uint16_t (*Convert)(float)>
void encode_16(const float* in, std::byte* row, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    const uint16_t bits = Convert(in[i]);
    std::memcpy(row + 2 * i, &bits, 2);
  }
}

}  // namespace

void decode_f32(const std::byte* row, float* out, int64_t n) noexcept {
  if (n > 0) std::memcpy(out, row, static_cast<size_t>(n) * 4);
}

void encode_f32(const float* in, std::byte* row, int64_t n) noexcept {
  if (n > 0) std::memcpy(row, in, static_cast<size_t>(n) * 4);
}

void decode_f16(const std::byte* row, float* out, int64_t n) noexcept {
  decode_16<f16_to_f32>(row, out, n);
}

void encode_f16(const float* in, std::byte* row, int64_t n) noexcept {
  encode_16<f32_to_f16>(in, row, n);
}

void decode_bf16(const std::byte* row, float* out, int64_t n) noexcept {
  decode_16<bf16_to_f32>(row, out, n);
}

void encode_bf16(const float* in, std::byte* row, int64_t n) noexcept {
  encode_16<f32_to_bf16>(in, row, n);
}

}  // namespace ktx::quant
