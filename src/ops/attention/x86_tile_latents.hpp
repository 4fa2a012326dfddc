// Attention to shared rows of the cache on tiles (attention_tiles.hpp): MLA with absorbed matrices.
//
// A (query, key) takes the tile unit (576 + 512) / 512 = 2.1 cycles for DeepSeek-V3, the vector
// units less than half of one. Keys are left panels as they lie in the cache, so that nothing is
// transposed but the weights: 32 numbers a (query, 32 keys), where values have 512 a key.
#pragma once

#include "ops/attention/x86_tile_attend.hpp"

namespace ktx::ops {
namespace {

/// Half of the queries go over to a new maximum, and so do the sums that they have.
inline void raise_rows(const LatentAttendArgs& a, int n, Half& half, __m512 most) noexcept {
  __m512 factor;
  if (!raise(half, most, factor) || a.fresh) return;
  alignas(64) float factors[16];
  _mm512_store_ps(factors, factor);
  for (int q = 0; q < 16; ++q) {
    if (factors[q] == 1) continue;
    const __m512 by = _mm512_set1_ps(factors[q]);
    float* sums = a.sums + (n * 16 + q) * a.sums_stride;
    for (int64_t i = 0; i < a.value_panels * square_side; i += 16)
      _mm512_storeu_ps(sums + i, _mm512_mul_ps(by, _mm512_loadu_ps(sums + i)));
  }
}

template <class Isa>
void attend_latents(const LatentAttendArgs& a) noexcept {
  typename Isa::Tiles tiles;
  const int64_t panels = squares_of(a.end[tile_queries - 1]);
  Softmax softmax(a.max, a.sum, nullptr, a.end);
  for (int64_t s = 0; s < panels; ++s)
    softmax.score(tiles, {.keys = {a.keys[s], a.key_bytes, a.step_bytes},
                          .queries = a.queries,
                          .steps = a.key_steps,
                          .key = s * square_side,
                          .all_seen = a.end[0] >= (s + 1) * square_side,
                          .scores = a.scores + s * square_floats,
                          .fetch = {a.next[s], a.next[s] != nullptr ? a.next_lines : 0}});
  for (int n = 0; n < 2; ++n) raise_rows(a, n, softmax.halves[n], softmax.most[n]);
  const uint8_t* weights = softmax.weigh<Isa, Side::left>(a.scores, panels);
  softmax.store(a.max, a.sum);
  const int64_t row_bytes = a.sums_stride * int64_t{sizeof(float)};
  for (int64_t p = 0; p < a.value_panels; ++p) {
    const auto quarter = [&](auto i) __attribute__((always_inline)) {
      return a.sums + i / 2 * 16 * a.sums_stride + p * square_side + i % 2 * 16;
    };
    if (a.fresh)
      zero_sums(tiles);
    else
      unroll<0, 4>([&](auto i) __attribute__((always_inline)) {
        tiles.template load<i>(quarter(i), row_bytes);
      });
    multiply(tiles, {weights}, a.values + p * a.value_bytes, panels);
    unroll<0, 4>([&](auto i) __attribute__((always_inline)) {
      tiles.template store<i>(quarter(i), row_bytes);
    });
  }
}

template <class Isa>
constexpr AttentionTiles attention_tiles = {
    Isa::speed, pack_panels<Isa>,  expand<Isa>,        attend<Isa>,
    write,      round_floats<Isa>, attend_latents<Isa>};

}  // namespace
}  // namespace ktx::ops
