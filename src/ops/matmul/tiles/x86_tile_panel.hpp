// What the kernels of many tokens are made of: panels of rows and tokens, and sums of 2 x 2 tiles,
// so that every tile loaded is used twice. A step of 4 products takes the tile unit 64 cycles, for
// 4 loads of 16 cache lines.
#pragma once

#include <immintrin.h>

#include "ops/matmul/simd/x86_unroll.hpp"
#include "ops/matmul/tiles/tiles.hpp"

namespace ktx::ops {
namespace {

constexpr int64_t sums_of_tile = 256;

constexpr int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

enum class Sums : uint8_t { zero, load };

/// G groups of rows times T blocks of tokens over some steps.
struct BlockArgs {
  const uint8_t *w = nullptr, *x = nullptr;  // first tile
  int64_t w_stride = 0, x_stride = 0;        // bytes between groups, between blocks
  int64_t steps = 0;
  Sums start = Sums::zero;
  float* sums = nullptr;     // tile of the first group and block
  int64_t group_stride = 0;  // floats between the tiles of groups; those of blocks lie together
};

// Tile registers: 0..3 sums, T * group + block; 4, 5 weights; 6, 7 tokens.
template <class Tiles, int G, int T>
[[gnu::always_inline]] inline void load_sums(Tiles& tiles, const BlockArgs& a) {
  unroll<0, G * T>([&](auto i) __attribute__((always_inline)) {
    if (a.start == Sums::zero)
      tiles.template zero<i>();
    else
      tiles.template load<i>(a.sums + i / T * a.group_stride + i % T * sums_of_tile, 64);
  });
}

template <class Tiles, int G, int T>
[[gnu::always_inline]] inline void store_sums(Tiles& tiles, const BlockArgs& a) {
  unroll<0, G * T>([&](auto i) __attribute__((always_inline)) {
    tiles.template store<i>(a.sums + i / T * a.group_stride + i % T * sums_of_tile, 64);
  });
}

/// One step: w, x are its first tiles, the strides those of BlockArgs.
template <class Tiles, int G, int T, bool Int8, Again weights_again>
[[gnu::always_inline]] inline void multiply_step(Tiles& tiles, const uint8_t* w, int64_t w_stride,
                                                 const uint8_t* x, int64_t x_stride) {
  unroll<0, T>([&](auto t) __attribute__((always_inline)) {
    tiles.template load<6 + t>(x + t * x_stride, 64);
  });
  unroll<0, G>([&](auto g) __attribute__((always_inline)) {
    tiles.template load<4 + g % 2, weights_again>(w + g * w_stride, 64);
    unroll<0, T>([&](auto t) __attribute__((always_inline)) {
      if constexpr (Int8)
        tiles.template dot_int8<g * T + t, 6 + t, 4 + g % 2>();
      else
        tiles.template dot_bf16<g * T + t, 4 + g % 2, 6 + t>();
    });
  });
}

/// between(): called before each step.
template <class Tiles, int G, int T, bool Int8, class Between>
void multiply_block(Tiles& tiles, const BlockArgs& a, Between& between) noexcept {
  load_sums<Tiles, G, T>(tiles, a);
  const uint8_t *w = a.w, *x = a.x;
  for (int64_t k = 0; k < a.steps; ++k, w += tile_bytes, x += tile_bytes) {
    between();
    // In bf16 the tokens of a block meet all groups of a panel one after another; in int8 the
    // weights are in the L1 cache.
    multiply_step<Tiles, G, T, Int8, Int8 ? Again::soon : Again::late>(tiles, w, a.w_stride, x,
                                                                       a.x_stride);
  }
  store_sums<Tiles, G, T>(tiles, a);
}

// Of the groups and blocks left, those that one call multiplies: four sums at most.
constexpr int64_t blocks_at_once(int64_t blocks) {
  return blocks > 1 ? 2 : 1;
}
constexpr int64_t groups_at_once(int64_t groups, int64_t blocks) {
  return blocks == 1 && groups > 3 ? 4 : groups > 1 ? 2 : 1;
}

template <class Tiles, bool Int8, class Between>
[[gnu::always_inline]] inline void multiply_block(Tiles& tiles, const BlockArgs& a, int64_t groups,
                                                  int64_t blocks, Between& between) noexcept {
  if (blocks == 2)
    groups == 2 ? multiply_block<Tiles, 2, 2, Int8>(tiles, a, between)
                : multiply_block<Tiles, 1, 2, Int8>(tiles, a, between);
  else if (groups == 4)
    multiply_block<Tiles, 4, 1, Int8>(tiles, a, between);
  else
    groups == 2 ? multiply_block<Tiles, 2, 1, Int8>(tiles, a, between)
                : multiply_block<Tiles, 1, 1, Int8>(tiles, a, between);
}

/// Asks for the i-th of n equal parts of a group's weights, if there is such a part.
[[gnu::always_inline]] inline void prefetch_part(const TileArgs& a, const uint8_t* group, int64_t i,
                                                 int64_t n) {
  const int64_t end = smaller(a.group_bytes, a.group_bytes * (i + 1) / n);
  for (int64_t at = a.group_bytes * i / n; at < end; at += 64)
    _mm_prefetch(reinterpret_cast<const char*>(group + at), _MM_HINT_T1);
}

}  // namespace
}  // namespace ktx::ops
