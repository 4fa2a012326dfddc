// The kernels of many tokens. bf16: up to 32 tokens, weights are decoded to tiles a few steps
// before these are multiplied, and all sums stay in the tile registers; for more, a panel of
// weights, some groups of rows, is decoded chunk by chunk to tiles that stay in the caches for all
// tokens. int8: the stored codes of int8 rows are tiles as they are.
//
// Sums are 2 x 2 tiles, so that every tile loaded is used twice: a step of 4 products takes the
// tile unit 64 cycles, for 4 loads of 16 cache lines. Decoding a tile of 4-bit codes takes the
// vector units about 80. Both go on at the same time: the next chunk is decoded between the
// products of this one, in small enough pieces for the processor to overlap them.
#pragma once

#include "ops/matmul/x86_tile_decode.hpp"

namespace ktx::ops {
namespace {

constexpr int64_t most_groups = tile_panel_rows / 16;
constexpr int64_t most_blocks = tile_panel_tokens / tile_tokens;
constexpr int64_t sums_of_tile = 256;
constexpr int64_t chunk_steps = bf16_chunk / bf16_step;

constexpr int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

enum class Sums : uint8_t { zero, load };

/// G groups of rows times T blocks of tokens over some steps.
struct BlockArgs {
  const uint8_t *w, *x;        // first tile
  int64_t w_stride, x_stride;  // bytes between groups, between blocks
  int64_t steps;
  Sums start;
  float* sums;           // tile of the first group and block
  int64_t group_stride;  // floats between the tiles of groups; those of blocks lie together
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
template <class Tiles, int G, int T, bool Int8>
[[gnu::always_inline]] inline void multiply_step(Tiles& tiles, const uint8_t* w, int64_t w_stride,
                                                 const uint8_t* x, int64_t x_stride) {
  unroll<0, T>([&](auto t) __attribute__((always_inline)) {
    tiles.template load<6 + t>(x + t * x_stride, 64);
  });
  unroll<0, G>([&](auto g) __attribute__((always_inline)) {
    tiles.template load<4 + g % 2>(w + g * w_stride, 64);
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
    multiply_step<Tiles, G, T, Int8>(tiles, w, a.w_stride, x, a.x_stride);
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

/// Some groups of rows with some blocks of tokens.
struct Panel {
  const TileArgs& args;
  int64_t group, groups;  // rows 16 * group ..
  int64_t block, blocks;  // tokens 16 * block ..

  const uint8_t* weights(int64_t g) const { return args.weights + (group + g) * args.group_bytes; }
  /// Block b of a chunk.
  const uint8_t* x(int64_t chunk, int64_t b, int64_t chunk_bytes) const {
    return args.x + (chunk * parts_of(args.tokens, tile_tokens) + block + b) * chunk_bytes;
  }
  float* y(int64_t g, int64_t b) const {
    return args.y + (block + b) * 16 * args.y_stride + (group + g) * 16;
  }
  static float* sums(float* all, int64_t g, int64_t b) {
    return all + (g * most_blocks + b) * sums_of_tile;
  }
  /// Row t of v, the sums of a token, to its place in y.
  void put(const __m512i v[16], int64_t g, int64_t b) const {
    const int64_t rows = args.rows - (group + g) * 16, tokens = args.tokens - (block + b) * 16;
    const auto lanes = static_cast<__mmask16>(rows >= 16 ? 0xffff : (1u << rows) - 1);
    for (int64_t t = 0; t < smaller(16, tokens); ++t)
      _mm512_mask_storeu_epi32(y(g, b) + t * args.y_stride, lanes, v[t]);
  }
};

/// Asks for the i-th of n equal parts of a group's weights, if there is such a part.
[[gnu::always_inline]] inline void prefetch_part(const TileArgs& a, const uint8_t* group, int64_t i,
                                                 int64_t n) {
  const int64_t end = smaller(a.group_bytes, a.group_bytes * (i + 1) / n);
  for (int64_t at = a.group_bytes * i / n; at < end; at += 64)
    _mm_prefetch(reinterpret_cast<const char*>(group + at), _MM_HINT_T1);
}

/// body(Panel) for all rows and tokens. Of few tokens, panels are what fits the tile registers.
template <class Body>
[[gnu::always_inline]] inline void for_panels(const TileArgs& a, const Body& body) {
  const int64_t all = parts_of(a.rows, 16), all_blocks = parts_of(a.tokens, tile_tokens);
  for (int64_t b = 0, blocks = 0; b < all_blocks; b += blocks) {
    blocks = smaller(most_blocks, all_blocks - b);
    for (int64_t g = 0, groups = 0; g < all; g += groups) {
      groups = blocks <= 2 ? groups_at_once(all - g, blocks) : smaller(most_groups, all - g);
      body(Panel{a, g, groups, b, blocks});
    }
  }
}

/// body(group, groups, block, blocks) for what calls of multiply_block take at once.
template <class Body>
[[gnu::always_inline]] inline void for_blocks(const Panel& panel, const Body& body) {
  for (int64_t b = 0, blocks = 0; b < panel.blocks; b += blocks) {
    blocks = blocks_at_once(panel.blocks - b);
    for (int64_t g = 0, groups = 0; g < panel.groups; g += groups) {
      groups = groups_at_once(panel.groups - g, blocks);
      body(g, groups, b, blocks);
    }
  }
}

// ---- bf16 ----

/// Decodes the tiles of one chunk of a panel, a few at a time: an even share of them every time it
/// is called, all after `calls` calls.
template <class Decoder>
class ChunkDecoder {
 public:
  ChunkDecoder(const Panel& panel, int64_t step, int64_t steps, uint8_t* out, int64_t calls)
      : panel_(panel), step_(step), steps_(steps), out_(out), calls_(calls) {}

  [[gnu::always_inline]] void operator()() {
    due_ += panel_.groups * steps_;
    for (; due_ >= calls_; due_ -= calls_) decode_one();
  }

 private:
  [[gnu::noinline]] void decode_one() {
    const uint8_t* weights = panel_.weights(group_);
    prefetch_part(panel_.args, weights, step_ + steps_ + next_,
                  parts_of(panel_.args.cols, bf16_step));
    if (next_ % decoder_steps == 0)
      Decoder::open({weights, step_ + next_, smaller(decoder_steps, steps_ - next_)}, chunk_);
    Decoder::put(chunk_, next_ % decoder_steps, out_ + (group_ * chunk_steps + next_) * tile_bytes);
    if (++next_ < steps_) return;
    next_ = 0;
    ++group_;
  }

  const Panel& panel_;
  int64_t step_, steps_;
  uint8_t* out_;
  int64_t calls_, due_ = 0;
  int64_t group_ = 0, next_ = 0;
  typename Decoder::Chunk chunk_;
};

struct PanelBuffers {
  alignas(64) uint8_t decoded[2][most_groups * chunk_steps * tile_bytes];
  alignas(64) float sums[most_groups * most_blocks * sums_of_tile];
};

template <class Tiles, class Decoder>
void multiply_bf16_panel(Tiles& tiles, const Panel& panel, PanelBuffers& buffers) noexcept {
  const int64_t steps = parts_of(panel.args.cols, bf16_step);
  int64_t calls = 0;  // of multiply_block
  for_blocks(panel, [&](int64_t, int64_t, int64_t, int64_t) { ++calls; });
  ChunkDecoder<Decoder>(panel, 0, smaller(chunk_steps, steps), buffers.decoded[0], 1)();
  for (int64_t step = 0, n = 0; step < steps; step += n) {
    n = smaller(chunk_steps, steps - step);
    const int64_t next = smaller(chunk_steps, steps - step - n), chunk = step / chunk_steps;
    ChunkDecoder<Decoder> ahead(panel, step + n, next, buffers.decoded[(chunk + 1) % 2], calls * n);
    for_blocks(panel, [&](int64_t g, int64_t groups, int64_t b, int64_t blocks) {
      multiply_block<Tiles, false>(tiles,
                                   {.w = buffers.decoded[chunk % 2] + g * chunk_steps * tile_bytes,
                                    .x = panel.x(chunk, b, bf16_chunk_bytes),
                                    .w_stride = chunk_steps * tile_bytes,
                                    .x_stride = bf16_chunk_bytes,
                                    .steps = n,
                                    .start = step == 0 ? Sums::zero : Sums::load,
                                    .sums = Panel::sums(buffers.sums, g, b),
                                    .group_stride = most_blocks * sums_of_tile},
                                   groups, blocks, ahead);
    });
  }
}

/// The tiles of the next few steps of G groups, in the L1 cache.
template <class Decoder, int G>
class DecodedSteps {
 public:
  static constexpr int64_t ahead = 2, kept = 4;

  explicit DecodedSteps(const Panel& panel)
      : panel_(panel), steps_(parts_of(panel.args.cols, bf16_step)) {}

  /// Decodes the next step, if there is one.
  [[gnu::noinline]] void decode() noexcept {
    if (next_ == steps_) return;
    const int64_t inside = next_ % decoder_steps;
    for (int g = 0; g < G; ++g) {
      const uint8_t* weights = panel_.weights(g);
      prefetch_part(panel_.args, weights, next_ + steps_fetched, steps_);
      if (inside == 0)
        Decoder::open({weights, next_, smaller(decoder_steps, steps_ - next_)}, chunks_[g]);
      Decoder::put(chunks_[g], inside, tiles_[next_ % kept][g]);
    }
    ++next_;
  }
  const uint8_t* tiles(int64_t step) const noexcept { return tiles_[step % kept][0]; }

 private:
  static constexpr int64_t steps_fetched = 32;  // ahead of the one that is decoded

  const Panel& panel_;
  int64_t steps_, next_ = 0;
  alignas(64) uint8_t tiles_[kept][G][tile_bytes];
  typename Decoder::Chunk chunks_[G];
};

/// All columns of a panel of G groups and T blocks, which fit the tile registers.
template <class Tiles, class Decoder, int G, int T>
void multiply_bf16_stream(Tiles& tiles, const Panel& panel, float* sums) noexcept {
  const BlockArgs block{.start = Sums::zero,
                        .sums = Panel::sums(sums, 0, 0),
                        .group_stride = most_blocks * sums_of_tile};
  load_sums<Tiles, G, T>(tiles, block);
  DecodedSteps<Decoder, G> decoded(panel);
  for (int64_t i = 0; i < decoded.ahead; ++i) decoded.decode();
  const int64_t steps = parts_of(panel.args.cols, bf16_step);
  for (int64_t k = 0; k < steps; ++k) {
    decoded.decode();
    const uint8_t* x = panel.x(k / chunk_steps, 0, bf16_chunk_bytes) + k % chunk_steps * tile_bytes;
    multiply_step<Tiles, G, T, false>(tiles, decoded.tiles(k), tile_bytes, x, bf16_chunk_bytes);
  }
  store_sums<Tiles, G, T>(tiles, block);
}

/// The same for any number of groups and blocks of one call of multiply_block.
template <class Tiles, class Decoder>
void multiply_bf16_stream(Tiles& tiles, const Panel& panel, float* sums) noexcept {
  if (panel.blocks == 2)
    panel.groups == 2 ? multiply_bf16_stream<Tiles, Decoder, 2, 2>(tiles, panel, sums)
                      : multiply_bf16_stream<Tiles, Decoder, 1, 2>(tiles, panel, sums);
  else if (panel.groups == 4)
    multiply_bf16_stream<Tiles, Decoder, 4, 1>(tiles, panel, sums);
  else
    panel.groups == 2 ? multiply_bf16_stream<Tiles, Decoder, 2, 1>(tiles, panel, sums)
                      : multiply_bf16_stream<Tiles, Decoder, 1, 1>(tiles, panel, sums);
}

/// Sums, [row][token], to y.
inline void put_sums(const Panel& panel, float* sums) noexcept {
  for (int64_t b = 0; b < panel.blocks; ++b)
    for (int64_t g = 0; g < panel.groups; ++g) {
      __m512i v[16];
      for (int r = 0; r < 16; ++r) v[r] = _mm512_load_si512(Panel::sums(sums, g, b) + r * 16);
      transpose_16x16(v);
      panel.put(v, g, b);
    }
}

template <class Tiles, class Decoder>
void multiply_bf16(const TileArgs& a) noexcept {
  PanelBuffers buffers;
  Tiles tiles;
  for_panels(a, [&](const Panel& panel) noexcept {
    panel.blocks <= 2 ? multiply_bf16_stream<Tiles, Decoder>(tiles, panel, buffers.sums)
                      : multiply_bf16_panel<Tiles, Decoder>(tiles, panel, buffers);
    put_sums(panel, buffers.sums);
  });
}

// ---- int8 ----

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
  ChunkPrefetch(const Panel& panel, int64_t step, int64_t steps)
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
  const Panel& panel_;
  int64_t step_, steps_, group_ = 0, next_ = 0;
};

template <class Tiles>
void multiply_int8_panel(Tiles& tiles, const Panel& panel, float* products, float* sums) noexcept {
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
                   Panel::sums(sums, group, block));
      }
    });
  }
}

template <class Tiles>
void multiply_int8(const TileArgs& a) noexcept {
  alignas(64) float products[4 * sums_of_tile];
  alignas(64) float sums[most_groups * most_blocks * sums_of_tile];
  Tiles tiles;
  for_panels(a, [&](const Panel& panel) noexcept {
    multiply_int8_panel<Tiles>(tiles, panel, products, sums);
    for (int64_t b = 0; b < panel.blocks; ++b)
      for (int64_t g = 0; g < panel.groups; ++g) {
        __m512i v[16];  // [token][row]
        for (int t = 0; t < 16; ++t) v[t] = _mm512_load_si512(Panel::sums(sums, g, b) + t * 16);
        panel.put(v, g, b);
      }
  });
}

}  // namespace
}  // namespace ktx::ops
