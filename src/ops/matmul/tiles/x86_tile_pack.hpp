// Packing of activations into tiles (tiles.hpp).
#pragma once

#include "ops/matmul/simd/x86_bf16.hpp"
#include "ops/matmul/simd/x86_transpose.hpp"
#include "ops/matmul/tiles/tiles.hpp"
#include "ops/matmul/tiles/x86_quantize_row.hpp"

namespace ktx::ops {
namespace {

inline void pack_bf16(const TilePackArgs& a) noexcept {
  alignas(64) int16_t upper[32];  // the upper halves of two vectors, in the order of tile_pair
  for (int i = 0; i < 32; ++i)
    upper[i] = static_cast<int16_t>((tile_pair(i / 2) * 2 + i % 2) * 2 + 1);
  const __m512i order = _mm512_load_si512(upper);
  for (int64_t col = 0; col < a.cols; col += bf16_step) {
    __m512i v[16];
    for (int64_t t = 0; t < 16; ++t) {
      v[t] = _mm512_setzero_si512();
      if (t >= a.tokens) continue;
      const __m512i first = to_bf16(load_columns(row_of(a, t), col, a.cols));
      const __m512i second = to_bf16(load_columns(row_of(a, t), col + 16, a.cols));
      v[t] = _mm512_permutex2var_epi16(first, order, second);
    }
    transpose_16x16(v);
    const int64_t chunk = (a.col + col) / bf16_chunk, inside = (a.col + col) % bf16_chunk;
    uint8_t* tile =
        a.tiles + (chunk * a.blocks + a.block) * bf16_chunk_bytes + inside / bf16_step * tile_bytes;
    for (int d = 0; d < 16; ++d) _mm512_store_si512(tile + d * 64, v[d]);
  }
}

inline void pack_int8(const TilePackArgs& a) noexcept {
  for (int64_t c = 0; c < a.cols; c += int8_chunk) {
    const int64_t cols = a.cols - c < int8_chunk ? a.cols - c : int8_chunk;
    const int64_t width = parts_of(cols, int8_step) * int8_step;
    uint8_t* tile = a.tiles + ((a.col + c) / int8_chunk * a.blocks + a.block) * int8_chunk_bytes;
    auto* scales = reinterpret_cast<float*>(tile + int8_chunk_bytes - 64);
    for (int64_t t = 0; t < 16; ++t, tile += int8_step) {
      const auto store = [&](int64_t col, __m512i q) __attribute__((always_inline)) {
        uint8_t* out = tile + col / int8_step * tile_bytes + col % int8_step;
        _mm_store_si128(reinterpret_cast<__m128i*>(out), _mm512_cvtsepi32_epi8(q));
      };
      if (t < a.tokens) {
        scales[t] = quantize_row(row_of(a, t) + c, cols, width, store);
      } else {
        scales[t] = 0;
        for (int64_t col = 0; col < width; col += 16) store(col, _mm512_setzero_si512());
      }
    }
  }
}

}  // namespace
}  // namespace ktx::ops
