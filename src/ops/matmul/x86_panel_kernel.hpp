// The kernel for many tokens: blocks of weights are decoded to bf16 panels in the L2 cache, once
// for all tokens, and multiplied by tiles of activations.
#pragma once

#include "ops/matmul/x16_args.hpp"
#include "ops/matmul/x86_panel_decode.hpp"

namespace ktx::ops {
namespace {

// A panel is 128 KiB; a block of activations, 32 KiB, stays in the L1 cache for the whole panel.
constexpr int64_t panel_groups = 8, panel_columns = 512, block_tokens = 32, tile_columns = 32;
constexpr int64_t tile_bytes = 1024;

struct PanelScratch {
  alignas(64) uint8_t weights[panel_groups][panel_columns * 32];
  alignas(64) uint8_t x[panel_columns / tile_columns][2][tile_bytes];
  alignas(64) float edge[16 * 16];
};

/// One block of tokens with one or two groups of a panel.
struct BlockArgs {
  const uint8_t* w[2];
  const uint8_t* x;
  int64_t steps;  // of 32 columns
  bool first;     // y is overwritten, else added to
  float* y;
  int64_t y_stride, tokens, rows;  // those that exist, up to 32
  float* edge;
};

// Tiles 0..3 are the sums: 2 * (tile of tokens) + (group); 4, 5 activations, 6, 7 weights.
template <class Tiles, int T>
[[gnu::always_inline]] inline void load_sums(Tiles& tiles, const BlockArgs& a) {
  if (a.first) return tiles.template zero<T>();
  float* y = a.y + T / 2 * 16 * a.y_stride + T % 2 * 16;
  const int64_t tokens = a.tokens - T / 2 * 16, rows = a.rows - T % 2 * 16;
  if (tokens >= 16 && rows >= 16) return tiles.template load<T>(y, a.y_stride * 4);
  for (int64_t t = 0; t < 16 && t < tokens; ++t)
    for (int64_t r = 0; r < 16 && r < rows; ++r) a.edge[t * 16 + r] = y[t * a.y_stride + r];
  tiles.template load<T>(a.edge, 64);
}

template <class Tiles, int T>
[[gnu::always_inline]] inline void store_sums(Tiles& tiles, const BlockArgs& a) {
  float* y = a.y + T / 2 * 16 * a.y_stride + T % 2 * 16;
  const int64_t tokens = a.tokens - T / 2 * 16, rows = a.rows - T % 2 * 16;
  if (tokens >= 16 && rows >= 16) return tiles.template store<T>(y, a.y_stride * 4);
  tiles.template store<T>(a.edge, 64);
  for (int64_t t = 0; t < 16 && t < tokens; ++t)
    for (int64_t r = 0; r < 16 && r < rows; ++r) y[t * a.y_stride + r] = a.edge[t * 16 + r];
}

/// M tiles of tokens with N groups.
template <class Tiles, int M, int N>
void multiply_block(Tiles& tiles, const BlockArgs& a) noexcept {
  unroll<0, M * N>([&](auto i) __attribute__((always_inline)) {
    load_sums<Tiles, i / N * 2 + i % N>(tiles, a);
  });
  const uint8_t *x = a.x, *w[2] = {a.w[0], a.w[1]};
  for (int64_t k = 0; k < a.steps; ++k) {
    unroll<0, N>([&](auto n) __attribute__((always_inline)) {
      tiles.template load<6 + n>(w[n] + k * tile_bytes, 64);
    });
    unroll<0, M>([&](auto m) __attribute__((always_inline)) {
      tiles.template load<4 + m>(x + (k * 2 + m) * tile_bytes, 64);
      unroll<0, N>([&](auto n) __attribute__((always_inline)) {
        tiles.template dot_bf16<m * 2 + n, 4 + m, 6 + n>();
      });
    });
  }
  unroll<0, M * N>([&](auto i) __attribute__((always_inline)) {
    store_sums<Tiles, i / N * 2 + i % N>(tiles, a);
  });
}

/// Columns [begin, begin + cols) of up to 32 tokens as tiles; tokens and columns up to whole tiles
/// are zero.
void pack_activations(const X16Args& a, int64_t token, int64_t tokens, int64_t begin, int64_t cols,
                      PanelScratch& scratch) noexcept {
  const int64_t steps = (cols + tile_columns - 1) / tile_columns;
  for (int64_t t = 0; t < (tokens + 15) / 16 * 16; ++t) {
    uint8_t* to = scratch.x[0][t / 16] + t % 16 * 64;
    if (t >= tokens) {
      for (int64_t k = 0; k < steps; ++k)
        _mm512_store_si512(to + k * 2 * tile_bytes, _mm512_setzero_si512());
      continue;
    }
    const int64_t row = a.x_rows ? a.x_rows[token + t] : token + t;
    const uint8_t* from = a.x + a.x_row_bytes * row + begin * 2;
    for (int64_t k = 0; k < steps; ++k) {
      const int64_t left = cols - k * tile_columns;
      const __mmask32 mask = left >= tile_columns ? ~__mmask32{0} : (__mmask32{1} << left) - 1;
      _mm512_store_si512(to + k * 2 * tile_bytes, _mm512_maskz_loadu_epi16(mask, from + k * 64));
    }
  }
}

template <class Tiles, class Panel>
void multiply_panel(Tiles& tiles, const X16Args& a, int64_t row, int64_t begin,
                    PanelScratch& scratch) noexcept {
  const int64_t rows = a.rows - row < panel_groups * 16 ? a.rows - row : panel_groups * 16;
  const int64_t cols = a.cols - begin < panel_columns ? a.cols - begin : panel_columns;
  const int64_t groups = (rows + 15) / 16, steps = (cols + tile_columns - 1) / tile_columns;
  for (int64_t g = 0; g < groups; ++g) {
    Panel::decode({.group = a.weights + (row / 16 + g) * a.group_bytes,
                   .begin = begin,
                   .cols = cols,
                   .panel = scratch.weights[g]});
    __builtin_memset(scratch.weights[g] + cols * 32, 0,
                     static_cast<size_t>(steps * tile_columns - cols) * 32);
  }
  for (int64_t t = 0; t < a.tokens; t += block_tokens) {
    const int64_t tokens = a.tokens - t < block_tokens ? a.tokens - t : block_tokens;
    pack_activations(a, t, tokens, begin, cols, scratch);
    for (int64_t g = 0; g < groups; g += 2) {
      const bool two_groups = g + 1 < groups;
      const BlockArgs block{.w = {scratch.weights[g], scratch.weights[two_groups ? g + 1 : g]},
                            .x = scratch.x[0][0],
                            .steps = steps,
                            .first = begin == 0,
                            .y = a.y + t * a.y_stride + row + g * 16,
                            .y_stride = a.y_stride,
                            .tokens = tokens,
                            .rows = rows - g * 16,
                            .edge = scratch.edge};
      if (tokens > 16)
        two_groups ? multiply_block<Tiles, 2, 2>(tiles, block)
                   : multiply_block<Tiles, 2, 1>(tiles, block);
      else
        two_groups ? multiply_block<Tiles, 1, 2>(tiles, block)
                   : multiply_block<Tiles, 1, 1>(tiles, block);
    }
  }
}

/// x in bf16 rows.
template <class Tiles, class Panel>
void run_panels(const X16Args& a) noexcept {
  PanelScratch scratch;
  Tiles tiles;
  for (int64_t row = 0; row < a.rows; row += panel_groups * 16)
    for (int64_t begin = 0; begin < a.cols; begin += panel_columns)
      multiply_panel<Tiles, Panel>(tiles, a, row, begin, scratch);
}

/// Rounds to the nearest bf16, ties to even; a NaN stays one.
void to_bf16(const float* x, int64_t n, uint16_t* out) noexcept {
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 mask =
        n - i >= 16 ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << (n - i)) - 1);
    const __m512 value = _mm512_maskz_loadu_ps(mask, x + i);
    const __m512i bits = _mm512_castps_si512(value);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __m512i kept = _mm512_mask_or_epi32(
        rounded, _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q), bits, _mm512_set1_epi32(0x400000));
    _mm512_mask_cvtepi32_storeu_epi16(out + i, mask, _mm512_srli_epi32(kept, 16));
  }
}

using S = PanelSimd;

template <class Tiles>
constexpr PanelUnit panel_unit = {
    .run = {nullptr, run_panels<Tiles, F16Panel>, run_panels<Tiles, Bf16Panel>,
            run_panels<Tiles, Fp8Panel>, run_panels<Tiles, IntegerPanel<Q4_0<S>>>,
            run_panels<Tiles, IntegerPanel<Q8_0<S>>>, run_panels<Tiles, IntegerPanel<Q4K<S>>>,
            run_panels<Tiles, IntegerPanel<Q5K<S>>>, run_panels<Tiles, IntegerPanel<Q6K<S>>>,
            run_panels<Tiles, IntegerPanel<Iq4Nl<S>>>, run_panels<Tiles, IntegerPanel<Iq4Xs<S>>>,
            run_panels<Tiles, IntegerPanel<Int8Row<S>>>,
            run_panels<Tiles, IntegerPanel<Int8Group<S, 32>>>,
            run_panels<Tiles, IntegerPanel<Int8Group<S, 64>>>,
            run_panels<Tiles, IntegerPanel<Int8Group<S, 128>>>,
            run_panels<Tiles, IntegerPanel<Int4Group<S, 32>>>,
            run_panels<Tiles, IntegerPanel<Int4Group<S, 64>>>,
            run_panels<Tiles, IntegerPanel<Int4Group<S, 128>>>},
    .to_bf16 = to_bf16,
};

}  // namespace
}  // namespace ktx::ops
