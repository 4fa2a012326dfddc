// Products of many tokens in int8: the stored codes of int8 rows are tiles as they are.
#pragma once

#include "ops/matmul/tiles/x86_tile_panel.hpp"

namespace ktx::ops {
namespace {

/// What a chunk's products, [token][row], are multiplied by.
struct ScaleArgs {
  const float* tokens;  // [16] scales, [16] corrections
  bool first;
  const uint8_t* rows;  // 16 f32 after the last chunk, else null
};

/// Adds the products of a chunk to the sums.
[[gnu::always_inline]] inline void add_scaled(const float* products, const ScaleArgs& a,
                                              float* sums) {
  for (int t = 0; t < 16; ++t) {
    const __m512 product = _mm512_cvtepi32_ps(_mm512_load_si512(products + t * 16));
    __m512 sum =
        _mm512_fmadd_ps(product, _mm512_set1_ps(a.tokens[t]), _mm512_set1_ps(a.tokens[16 + t]));
    if (!a.first) sum = _mm512_add_ps(sum, _mm512_load_ps(sums + t * 16));
    if (a.rows) sum = _mm512_mul_ps(sum, _mm512_loadu_ps(a.rows));
    _mm512_store_ps(sums + t * 16, sum);
  }
}

/// Asks for the next chunk's weights of a panel, a group's step every time it is called.
class ChunkPrefetch {
 public:
  ChunkPrefetch(const TilePanel& panel, int64_t step, int64_t steps)
      : panel_(panel), step_(step), steps_(steps) {}
  [[gnu::always_inline]] void operator()() {
    if (steps_ == 0 || group_ == panel_.groups) return;
    const uint8_t* at = panel_.weights(group_) + 64 + (step_ + next_) * tile_bytes;
    for (int i = 0; i < tile_bytes; i += 64)
      _mm_prefetch(reinterpret_cast<const char*>(at + i), _MM_HINT_T1);
    if (++next_ < steps_) return;
    next_ = 0;
    ++group_;
  }

 private:
  const TilePanel& panel_;
  int64_t step_, steps_, group_ = 0, next_ = 0;
};

template <class Tiles>
void multiply_int8_panel(Tiles& tiles, const TilePanel& panel, float* products,
                         float* sums) noexcept {
  const int64_t chunk = panel.args.int8_chunk, chunk_bytes = int8_chunk_bytes(chunk);
  for (int64_t col = 0; col < panel.args.cols; col += chunk) {
    const int64_t cols = smaller(chunk, panel.args.cols - col);
    const int64_t next = smaller(chunk, panel.args.cols - col - cols);
    ChunkPrefetch ahead(panel, (col + cols) / int8_step, next / int8_step);
    for_blocks(panel, [&](int64_t g, int64_t groups, int64_t b, int64_t blocks) {
      multiply_block<Tiles, true>(tiles,
                                  {.w = panel.weights(g) + 64 + col * 16,
                                   .x = panel.x(col / chunk, b, chunk_bytes),
                                   .w_stride = panel.args.group_bytes,
                                   .x_stride = chunk_bytes,
                                   .steps = cols / int8_step,
                                   .start = Sums::zero,
                                   .sums = products,
                                   .group_stride = blocks * sums_of_tile},
                                  groups, blocks, ahead);
      for (int64_t i = 0; i < groups * blocks; ++i) {
        const int64_t group = g + i / blocks, block = b + i % blocks;
        const uint8_t* scales = panel.x(col / chunk, block, chunk_bytes) + chunk_bytes - 128;
        add_scaled(products + i * sums_of_tile,
                   {.tokens = reinterpret_cast<const float*>(scales),
                    .first = col == 0,
                    .rows = col + cols == panel.args.cols ? panel.weights(group) : nullptr},
                   TilePanel::sums(sums, group, block));
      }
    });
  }
}

template <class Tiles>
void multiply_int8(const TileArgs& a) noexcept {
  alignas(64) float products[4 * sums_of_tile];
  alignas(64) float sums[most_groups * most_blocks * sums_of_tile];
  Tiles tiles;
  for_panels(a, [&](const TilePanel& panel) noexcept {
    multiply_int8_panel<Tiles>(tiles, panel, products, sums);
    for (int64_t b = 0; b < panel.blocks; ++b)
      for (int64_t g = 0; g < panel.groups; ++g) {
        __m512i v[16];  // [token][row]
        for (int t = 0; t < 16; ++t) v[t] = _mm512_load_si512(TilePanel::sums(sums, g, b) + t * 16);
        panel.put(v, g, b);
      }
  });
}

}  // namespace
}  // namespace ktx::ops
