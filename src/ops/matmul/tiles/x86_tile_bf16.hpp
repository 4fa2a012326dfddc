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
  for_panels(a, [&](const TilePanel& panel) noexcept {
    panel.blocks <= 2 ? multiply_bf16_stream<Tiles, Decoder>(tiles, panel, buffers.sums)
                      : multiply_bf16_panel<Tiles, Decoder>(tiles, panel, buffers);
    put_sums(panel, buffers.sums);
  });
}

}  // namespace
}  // namespace ktx::ops
