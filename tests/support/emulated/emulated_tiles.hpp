// The tiles of x86_tiles_amx.hpp in plain C++, with the same interface: what runs the panel kernel,
// its packing and its loops, on machines without AMX. Slow.
#pragma once

#include <cstdint>

#include "ops/attention/attention_tiles.hpp"
#include "ops/matmul/tiles/tiles.hpp"

namespace ktx::test {

extern const ops::TileUnit x86_avx512_vbmi_matmul;
extern const ops::AttentionTiles x86_avx512_attention;

namespace {

using ops::Again;

class EmulatedTiles {
 public:
  template <int T>
  void zero() noexcept {
    tiles_[T] = {};
  }
  template <int T, Again = Again::soon>
  void load(const void* p, int64_t stride) noexcept {
    const auto* from = static_cast<const uint8_t*>(p);
    for (int r = 0; r < 16; ++r) __builtin_memcpy(tiles_[T].row[r], from + r * stride, 64);
  }
  template <int T>
  void store(void* p, int64_t stride) noexcept {
    auto* to = static_cast<uint8_t*>(p);
    for (int r = 0; r < 16; ++r) __builtin_memcpy(to + r * stride, tiles_[T].row[r], 64);
  }
  template <int C, int A, int B>
  void dot_bf16() noexcept {
    for (int k = 0; k < 16; ++k) {
      float even[16], odd[16];
      for (int n = 0; n < 16; ++n) {
        even[n] = as_float(tiles_[B].row[k][n] << 16);
        odd[n] = as_float(tiles_[B].row[k][n] & 0xffff0000u);
      }
      for (int m = 0; m < 16; ++m) {
        const float first = as_float(tiles_[A].row[m][k] << 16);
        const float second = as_float(tiles_[A].row[m][k] & 0xffff0000u);
        for (int n = 0; n < 16; ++n) {
          const float sum = as_float(tiles_[C].row[m][n]) + first * even[n] + second * odd[n];
          tiles_[C].row[m][n] = as_bits(sum);
        }
      }
    }
  }

  template <int C, int A, int B>
  void dot_int8() noexcept {
    for (int m = 0; m < 16; ++m)
      for (int n = 0; n < 16; ++n) {
        auto sum = static_cast<int32_t>(tiles_[C].row[m][n]);
        for (int k = 0; k < 64; ++k) {
          const auto a = static_cast<int8_t>(tiles_[A].row[m][k / 4] >> k % 4 * 8 & 255);
          const auto b = static_cast<uint8_t>(tiles_[B].row[k / 4][n] >> k % 4 * 8 & 255);
          sum += a * b;
        }
        tiles_[C].row[m][n] = static_cast<uint32_t>(sum);
      }
  }

 private:
  struct Tile {
    uint32_t row[16][16];
  };
  static float as_float(uint32_t bits) noexcept { return __builtin_bit_cast(float, bits); }
  static uint32_t as_bits(float value) noexcept { return __builtin_bit_cast(uint32_t, value); }
  Tile tiles_[8] = {};
};

}  // namespace
}  // namespace ktx::test
