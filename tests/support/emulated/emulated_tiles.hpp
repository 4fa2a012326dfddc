// The tiles of x86_tiles_amx.hpp in plain C++, with the same interface: what runs the panel kernel,
// its packing and its loops, on machines without AMX. Slow.
#pragma once

#include <cstdint>

#include "ops/attention/attention_tiles.hpp"
#include "ops/matmul/tiles/tiles.hpp"

namespace ktx::test {

extern const ops::TileUnit x86_avx512_vbmi_matmul;       // as x86_amx_int8
extern const ops::TileUnit x86_avx512_vbmi_matmul_bf16;  // as x86_amx_bf16
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
    multiply_bf16(tiles_[C], tiles_[A], tiles_[B]);
  }
  template <int C, int A, int B>
  void dot_int8() noexcept {
    multiply_int8(tiles_[C], tiles_[A], tiles_[B]);
  }

 private:
  struct Tile {
    uint32_t row[16][16];
  };

  // Not inlined: the kernels of all formats would each hold these loops many times.
  [[gnu::noinline]] static void multiply_bf16(Tile& c, const Tile& a, const Tile& b) noexcept {
    for (int k = 0; k < 16; ++k) {
      float even[16], odd[16];
      for (int n = 0; n < 16; ++n) {
        even[n] = as_float(b.row[k][n] << 16);
        odd[n] = as_float(b.row[k][n] & 0xffff0000u);
      }
      for (int m = 0; m < 16; ++m) {
        const float first = as_float(a.row[m][k] << 16);
        const float second = as_float(a.row[m][k] & 0xffff0000u);
        for (int n = 0; n < 16; ++n)
          c.row[m][n] = as_bits(as_float(c.row[m][n]) + first * even[n] + second * odd[n]);
      }
    }
  }
  [[gnu::noinline]] static void multiply_int8(Tile& c, const Tile& a, const Tile& b) noexcept {
    for (int m = 0; m < 16; ++m)
      for (int k = 0; k < 64; ++k) {
        const auto left = static_cast<int8_t>(a.row[m][k / 4] >> k % 4 * 8 & 255);
        for (int n = 0; n < 16; ++n) {
          const auto right = static_cast<int8_t>(b.row[k / 4][n] >> k % 4 * 8 & 255);
          c.row[m][n] += static_cast<uint32_t>(left * right);
        }
      }
  }
  static float as_float(uint32_t bits) noexcept { return __builtin_bit_cast(float, bits); }
  static uint32_t as_bits(float value) noexcept { return __builtin_bit_cast(uint32_t, value); }
  Tile tiles_[8] = {};
};

}  // namespace
}  // namespace ktx::test
