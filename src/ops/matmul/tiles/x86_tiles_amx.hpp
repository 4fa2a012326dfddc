// AMX tiles as the kernels of products and attention use them: 16 rows of 64 bytes each.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "core/hw/x86_amx_space.hpp"
#include "core/hw/x86_tile_config.hpp"
#include "ops/matmul/tiles/tiles.hpp"

namespace ktx::ops {
namespace {

// The compiler's tile intrinsics take literal numbers only, not template arguments: hence assembly.
class AmxTiles {
 public:
  /// Configures the thread's tiles; hw::request_amx() must have succeeded in this process.
  [[gnu::always_inline]] AmxTiles() noexcept {
    const hw::TileConfig config;
    asm volatile("ldtilecfg %0" : : "m"(config));
  }
  /// Released tiles need not be saved when the thread is switched.
  [[gnu::always_inline]] ~AmxTiles() { asm volatile("tilerelease"); }
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;

  template <int T>
  [[gnu::always_inline]] void zero() noexcept {
    asm volatile("tilezero %%tmm%c0" : : "i"(T));
  }
  /// stride: bytes between rows.
  template <int T, Again again = Again::soon>
  [[gnu::always_inline]] void load(const void* p, int64_t stride) noexcept {
    if constexpr (again == Again::soon)
      asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(stride), "i"(T) : "memory");
    else
      asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(stride), "i"(T) : "memory");
    hw::amx_space();
  }
  template <int T>
  [[gnu::always_inline]] void store(void* p, int64_t stride) noexcept {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(p), "r"(stride), "i"(T) : "memory");
  }
  /// C[m][n] += sum over k of A[m][k] * B[k / 2][n][k % 2], 32 bf16 k, in f32.
  template <int C, int A, int B>
  [[gnu::always_inline]] void dot_bf16() noexcept {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
    hw::amx_space();
  }
  /// C[m][n] += sum over k of A[m][k] * B[k / 4][n][k % 4], 64 k: A and B int8, C int32.
  template <int C, int A, int B>
  [[gnu::always_inline]] void dot_int8() noexcept {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
    hw::amx_space();
  }
};

}  // namespace
}  // namespace ktx::ops
