// Products of many tokens in bf16. Up to 32 tokens, weights are decoded to tiles a few steps before
// these are multiplied, and all sums stay in the tile registers; for more, a panel of weights, some
// groups of rows, is decoded chunk by chunk to tiles that stay in the caches for all tokens.
//
// Decoding a tile of 4-bit codes is 72 instructions for two vector ports, while the tile unit takes
// 16 cycles for its product with 16 tokens. Both go on at the same time: what comes next is decoded
// between the products, in small enough pieces for the processor to overlap them.
#pragma once

#include "ops/matmul/tiles/x86_tile_decode.hpp"
#include "ops/matmul/tiles/x86_tile_panel.hpp"

namespace ktx::ops {
namespace {

constexpr int64_t chunk_steps = bf16_chunk / bf16_step;

/// Of decoded rows a panel has two chunks, 128 KiB each, besides its sums of as many in the
/// L2 cache.
constexpr int64_t most_groups = 8, most_blocks = tile_part_tokens / tile_tokens;

/// Some groups of rows of one matrix with some blocks of tokens.
struct TilePanel {
  const TileArgs& args;
  int matrix;
  int64_t group, groups;  // rows 16 * group ..
  int64_t block, blocks;  // tokens 16 * block ..

  const uint8_t* weights(int64_t g) const {
    return args.weights[matrix] + (group + g) * args.group_bytes;
  }
  /// Block b of a chunk.
  const uint8_t* x(int64_t chunk, int64_t b, int64_t chunk_bytes) const {
    return args.x + (chunk * parts_of(args.tokens, tile_tokens) + block + b) * chunk_bytes;
  }
  float* y(int64_t g, int64_t b) const {
    return args.y[matrix] + (block + b) * 16 * args.y_stride + (group + g) * 16;
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

/// body(TilePanel) for all rows of a matrix and all tokens. Of few tokens, panels are what fits the
/// tile registers.
template <class Body>
[[gnu::always_inline]] inline void for_panels(const TileArgs& a, int matrix, const Body& body) {
  const int64_t all = parts_of(a.rows, 16), all_blocks = parts_of(a.tokens, tile_tokens);
  for (int64_t b = 0, blocks = 0; b < all_blocks; b += blocks) {
    blocks = smaller(most_blocks, all_blocks - b);
    for (int64_t g = 0, groups = 0; g < all; g += groups) {
      groups = blocks <= 2 ? groups_at_once(all - g, blocks) : smaller(most_groups, all - g);
      body(TilePanel{a, matrix, g, groups, b, blocks});
    }
  }
}

/// body(group, groups, block, blocks) for what calls of multiply_block take at once.
template <class Body>
[[gnu::always_inline]] inline void for_blocks(const TilePanel& panel, const Body& body) {
  for (int64_t b = 0, blocks = 0; b < panel.blocks; b += blocks) {
    blocks = blocks_at_once(panel.blocks - b);
    for (int64_t g = 0, groups = 0; g < panel.groups; g += groups) {
      groups = groups_at_once(panel.groups - g, blocks);
      body(g, groups, b, blocks);
    }
  }
}

/// Decodes the tiles of one chunk of a panel, a few at a time: an even share of them every time it
/// is called, all after `calls` calls.
template <class Decoder>
class ChunkDecoder {
 public:
  ChunkDecoder(const TilePanel& panel, int64_t step, int64_t steps, uint8_t* out, int64_t calls)
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
      Decoder::open({weights, step_ + next_, smaller(decoder_steps, steps_ - next_)}, opened_);
    Decoder::put(opened_, next_ % decoder_steps,
                 out_ + (group_ * chunk_steps + next_) * tile_bytes);
    if (++next_ < steps_) return;
    next_ = 0;
    ++group_;
  }

  const TilePanel& panel_;
  int64_t step_, steps_;
  uint8_t* out_;
  int64_t calls_, due_ = 0;
  int64_t group_ = 0, next_ = 0;
  typename Decoder::Opened opened_;
};

struct PanelBuffers {
  alignas(64) uint8_t decoded[2][most_groups * chunk_steps * tile_bytes];
  alignas(64) float sums[most_groups * most_blocks * sums_of_tile];
};

template <class Tiles, class Decoder>
void multiply_bf16_panel(Tiles& tiles, const TilePanel& panel, PanelBuffers& buffers) noexcept {
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
                                    .sums = TilePanel::sums(buffers.sums, g, b),
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

  explicit DecodedSteps(const TilePanel& panel)
      : panel_(panel), steps_(parts_of(panel.args.cols, bf16_step)) {}

  /// Decodes the next step, if there is one.
  [[gnu::noinline]] void decode() noexcept {
    if (next_ == steps_) return;
    const int64_t inside = next_ % decoder_steps;
    for (int g = 0; g < G; ++g) {
      const uint8_t* weights = panel_.weights(g);
      prefetch_part(panel_.args, weights, next_ + steps_fetched, steps_);
      if (inside == 0)
        Decoder::open({weights, next_, smaller(decoder_steps, steps_ - next_)}, opened_[g]);
      Decoder::put(opened_[g], inside, tiles_[next_ % kept][g]);
    }
    ++next_;
  }
  const uint8_t* tiles(int64_t step) const noexcept { return tiles_[step % kept][0]; }

 private:
  static constexpr int64_t steps_fetched = 32;  // ahead of the one that is decoded

  const TilePanel& panel_;
  int64_t steps_, next_ = 0;
  alignas(64) uint8_t tiles_[kept][G][tile_bytes];
  typename Decoder::Opened opened_[G];
};

/// All columns of a panel of G groups and T blocks, which fit the tile registers.
template <class Tiles, class Decoder, int G, int T>
void multiply_bf16_stream(Tiles& tiles, const TilePanel& panel, float* sums) noexcept {
  const BlockArgs block{.start = Sums::zero,
                        .sums = TilePanel::sums(sums, 0, 0),
                        .group_stride = most_blocks * sums_of_tile};
  load_sums<Tiles, G, T>(tiles, block);
  DecodedSteps<Decoder, G> decoded(panel);
  for (int64_t i = 0; i < decoded.ahead; ++i) decoded.decode();
  const int64_t steps = parts_of(panel.args.cols, bf16_step);
  for (int64_t k = 0; k < steps; ++k) {
    decoded.decode();
    const uint8_t* x = panel.x(k / chunk_steps, 0, bf16_chunk_bytes) + k % chunk_steps * tile_bytes;
    multiply_step<Tiles, G, T, false, Again::soon>(tiles, decoded.tiles(k), tile_bytes, x,
                                                   bf16_chunk_bytes);
  }
  store_sums<Tiles, G, T>(tiles, block);
}

/// The same for any number of groups and blocks of one call of multiply_block.
template <class Tiles, class Decoder>
void multiply_bf16_stream(Tiles& tiles, const TilePanel& panel, float* sums) noexcept {
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
inline void put_sums(const TilePanel& panel, float* sums) noexcept {
  for (int64_t b = 0; b < panel.blocks; ++b)
    for (int64_t g = 0; g < panel.groups; ++g) {
      __m512i v[16];
      for (int r = 0; r < 16; ++r) v[r] = _mm512_load_si512(TilePanel::sums(sums, g, b) + r * 16);
      transpose_16x16(v);
      panel.put(v, g, b);
    }
}

template <class Tiles, class Decoder>
void multiply_bf16(const TileArgs& a) noexcept {
  PanelBuffers buffers;
  Tiles tiles;
  for (int matrix = 0; matrix < a.matrices; ++matrix)
    for_panels(a, matrix, [&](const TilePanel& panel) noexcept {
      panel.blocks <= 2 ? multiply_bf16_stream<Tiles, Decoder>(tiles, panel, buffers.sums)
                        : multiply_bf16_panel<Tiles, Decoder>(tiles, panel, buffers);
      put_sums(panel, buffers.sums);
    });
}

}  // namespace
}  // namespace ktx::ops
