// Products of many tokens in int8. Columns outside, rows inside: some chunks of the tokens' columns
// stay in the L2 cache while all rows of the panel, of both matrices, pass. Of these a unit, two
// groups of 16 rows and a chunk, is requantized to tiles in the L1 cache (x86_tile_requantize.hpp)
// while the unit before it is multiplied by all tokens.
//
// What a step of 64 columns of 2 x 2 tiles takes, in cycles: the tile unit 64, loads of its tiles
// some 40. The vector ports add the scaled sums of a chunk, 24 a step. A tile of q4_k is 75 cycles
// to requantize, two for every unit's step, however many tokens there are. Both kinds of vector
// work are done in small pieces between the steps, for them to overlap.
#pragma once

#include "ops/matmul/tiles/x86_tile_panel.hpp"
#include "ops/matmul/tiles/x86_tile_requantize.hpp"

namespace ktx::ops {
namespace {

constexpr int64_t chunk_steps_int8 = int8_chunk / int8_step;

/// Two groups of rows of one chunk; the second is unused where there is none.
struct Unit8 {
  alignas(64) uint8_t tiles[2][chunk_steps_int8][tile_bytes];
  alignas(64) float row_scales[2][16];
};

struct Int8Buffers {
  Unit8 units[2];
  alignas(64) float products[2][4 * sums_of_tile];
  alignas(64) float sums[int8_panel_sums];
};

/// Of the groups of all matrices, one matrix after the other, those of one panel.
struct Int8Panel {
  const TileArgs& args;
  int64_t group, groups_each;  // of each matrix
  int64_t block, blocks;

  int64_t groups() const { return groups_each * args.matrices; }
  int64_t units() const { return parts_of(groups(), 2); }
  int64_t chunks() const { return parts_of(args.cols, int8_chunk); }
  int64_t cols(int64_t chunk) const { return smaller(int8_chunk, args.cols - chunk * int8_chunk); }
  int64_t groups_of(int64_t unit) const { return smaller(2, groups() - 2 * unit); }
  const uint8_t* weights(int64_t g) const {
    const bool second = g >= groups_each;
    return args.weights[second] + (group + (second ? g - groups_each : g)) * args.group_bytes;
  }
  int64_t tile_weight_bytes() const { return args.group_bytes / (args.cols / int8_step); }
  const uint8_t* x(int64_t chunk, int64_t b) const {
    return args.x + (chunk * parts_of(args.tokens, tile_tokens) + block + b) * int8_chunk_bytes;
  }
  float* sums(float* all, int64_t g, int64_t b) const {
    return all + (g * blocks + b) * sums_of_tile;
  }
};

/// Where the sequence of a panel stands: some chunks of a unit, all units, the next chunks.
struct UnitPlace {
  int64_t chunk = 0, unit = 0;

  UnitPlace next(const Int8Panel& panel) const {
    const int64_t first = chunk / panel.args.int8_panel_chunks * panel.args.int8_panel_chunks;
    const int64_t end = smaller(first + panel.args.int8_panel_chunks, panel.chunks());
    if (chunk + 1 < end) return {chunk + 1, unit};
    return unit + 1 < panel.units() ? UnitPlace{first, unit + 1} : UnitPlace{end, 0};
  }
};

/// Requantizes a unit, a tile at a time: an even share every time it is called, all after `calls`.
/// With each tile it asks for as much of the unit after.
class UnitDecoder {
 public:
  UnitDecoder(const Int8Panel& panel, const Requantizer& format, const UnitPlace& place,
              int64_t calls, Unit8& out)
      : format_(format), calls_(calls), out_(out) {
    if (place.chunk == panel.chunks()) return;  // after the last unit
    col_ = place.chunk * int8_chunk;
    steps_ = panel.cols(place.chunk) / int8_step;
    const int64_t groups = panel.groups_of(place.unit);
    tiles_ = groups * steps_;
    fetch_bytes_ = panel.tile_weight_bytes();
    const UnitPlace after = place.next(panel);
    for (int64_t g = 0; g < groups; ++g) {
      weights_[g] = panel.weights(2 * place.unit + g);
      fetched_[g] = weights_after(panel, after, g);
    }
  }

  [[gnu::always_inline]] void operator()() {
    for (due_ += tiles_; due_ >= calls_; due_ -= calls_) decode_one();
  }

 private:
  /// At the end of the panel those of the rows behind it, which the thread most likely multiplies
  /// by next.
  static const uint8_t* weights_after(const Int8Panel& panel, const UnitPlace& place, int64_t g) {
    if (place.chunk == panel.chunks())
      return panel.weights(g) + panel.groups_each * panel.args.group_bytes;
    return panel.weights(smaller(2 * place.unit + g, panel.groups() - 1)) +
           place.chunk * chunk_steps_int8 * panel.tile_weight_bytes();
  }

  void decode_one() {
    if (step_ == 0) {
      format_.open({weights_[group_], col_, steps_ * int8_step}, opened_);
      __builtin_memcpy(out_.row_scales[group_], opened_.row_scales, sizeof(opened_.row_scales));
    }
    const uint8_t* fetched = fetched_[group_] + step_ * fetch_bytes_;
    for (int64_t at = 0; at < fetch_bytes_; at += 64)
      _mm_prefetch(reinterpret_cast<const char*>(fetched + at), _MM_HINT_T1);
    format_.put(opened_, step_, out_.tiles[group_][step_]);
    if (++step_ == steps_) ++group_, step_ = 0;
  }

  const Requantizer& format_;
  const uint8_t *weights_[2] = {}, *fetched_[2] = {};
  int64_t calls_, col_ = 0, steps_ = 0, tiles_ = 0, fetch_bytes_ = 0;
  int64_t due_ = 0, group_ = 0, step_ = 0;
  Unit8& out_;
  OpenedChunk opened_;
};

/// The products of one tile, [token][row], that are to be scaled and added to its sums.
struct Scaling {
  const float *products, *row_scales, *token_scales;
  float* sums;
};

// By value: what stores to the sums could change is loaded again for every token.
template <bool First>
[[gnu::always_inline]] inline void add_scaled(const Scaling a) {
  const __m512 rows = _mm512_load_ps(a.row_scales);
  for (int t = 0; t < 16; ++t) {
    const __m512 product = _mm512_cvtepi32_ps(_mm512_load_si512(a.products + t * 16));
    const __m512 scale = _mm512_mul_ps(rows, _mm512_set1_ps(a.token_scales[t]));
    float* sum = a.sums + t * 16;
    _mm512_store_ps(sum, First ? _mm512_mul_ps(product, scale)
                               : _mm512_fmadd_ps(product, scale, _mm512_load_ps(sum)));
  }
}

/// Up to four tiles of products: added one at a time between the steps that follow them, when the
/// tile unit is done with them.
class PendingSums {
 public:
  /// Keeps the scales of the unit's rows: its tiles may be gone when these are added.
  void start(const Unit8& unit, bool first) {
    __builtin_memcpy(row_scales_, unit.row_scales, sizeof(row_scales_));
    first_ = first;
    count_ = next_ = 0;
  }
  void add(int64_t group, const float* products, const float* token_scales, float* sums) {
    tiles_[count_++] = {products, row_scales_[group], token_scales, sums};
  }

  [[gnu::always_inline]] void operator()() {
    if (next_ == count_) return;
    const Scaling& tile = tiles_[next_++];
    first_ ? add_scaled<true>(tile) : add_scaled<false>(tile);
  }
  void finish() {
    while (next_ < count_) (*this)();
  }

 private:
  alignas(64) float row_scales_[2][16];
  Scaling tiles_[4];
  int count_ = 0, next_ = 0;
  bool first_ = false;
};

/// One unit times all blocks of tokens; `between` as that of multiply_block.
template <class Tiles>
class UnitProducts {
 public:
  UnitProducts(Tiles& tiles, const Int8Panel& panel, Int8Buffers& buffers)
      : tiles_(tiles), panel_(panel), buffers_(buffers) {}

  static int64_t calls(const Int8Panel& panel, int64_t chunk) {
    return parts_of(panel.blocks, 2) * (panel.cols(chunk) / int8_step);
  }

  void multiply(const UnitPlace& place, const Unit8& unit, UnitDecoder& ahead) {
    const int64_t groups = panel_.groups_of(place.unit);
    const auto between = [&]() __attribute__((always_inline)) {
      ahead();
      pending_();
    };
    for (int64_t b = 0, blocks = 0; b < panel_.blocks; b += blocks) {
      blocks = blocks_at_once(panel_.blocks - b);
      float* products = buffers_.products[turn_];
      turn_ = 1 - turn_;
      multiply_block<Tiles, true>(tiles_,
                                  {.w = unit.tiles[0][0],
                                   .x = panel_.x(place.chunk, b),
                                   .w_stride = sizeof(unit.tiles[0]),
                                   .x_stride = int8_chunk_bytes,
                                   .steps = panel_.cols(place.chunk) / int8_step,
                                   .start = Sums::zero,
                                   .sums = products,
                                   .group_stride = blocks * sums_of_tile},
                                  groups, blocks, between);
      pending_.finish();
      pending_.start(unit, place.chunk == 0);
      for (int64_t g = 0; g < groups; ++g)
        for (int64_t i = 0; i < blocks; ++i, products += sums_of_tile)
          pending_.add(g, products, token_scales(place.chunk, b + i),
                       panel_.sums(buffers_.sums, 2 * place.unit + g, b + i));
    }
  }
  void finish() { pending_.finish(); }

 private:
  const float* token_scales(int64_t chunk, int64_t b) const {
    return reinterpret_cast<const float*>(panel_.x(chunk, b) + int8_chunk_bytes - 64);
  }

  Tiles& tiles_;
  const Int8Panel& panel_;
  Int8Buffers& buffers_;
  PendingSums pending_;
  int turn_ = 0;
};

template <class Tiles>
void multiply_int8_panel(Tiles& tiles, const Int8Panel& panel, const Requantizer& format,
                         Int8Buffers& buffers) noexcept {
  UnitProducts<Tiles> products(tiles, panel, buffers);
  UnitDecoder(panel, format, {}, 1, buffers.units[0])();
  int64_t turn = 0;
  for (UnitPlace place; place.chunk < panel.chunks(); turn = 1 - turn) {
    const UnitPlace next = place.next(panel);
    UnitDecoder ahead(panel, format, next, UnitProducts<Tiles>::calls(panel, place.chunk),
                      buffers.units[1 - turn]);
    products.multiply(place, buffers.units[turn], ahead);
    place = next;
  }
  products.finish();
}

/// Sums, [token][row], to y: token after token, whose rows lie together.
inline void put_sums(const Int8Panel& panel, float* sums) noexcept {
  const TileArgs& a = panel.args;
  const int64_t first = panel.block * tile_tokens;
  const int64_t tokens = smaller(panel.blocks * tile_tokens, a.tokens - first);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t g = 0; g < panel.groups(); ++g) {
      const int64_t row = (panel.group + g % panel.groups_each) * 16, rows = a.rows - row;
      float* y = a.y[g / panel.groups_each] + (first + t) * a.y_stride + row;
      const __m512 v = _mm512_load_ps(panel.sums(sums, g, t / tile_tokens) + t % tile_tokens * 16);
      _mm512_mask_storeu_ps(y, static_cast<__mmask16>(rows >= 16 ? 0xffff : (1u << rows) - 1), v);
    }
}

template <class Tiles>
void multiply_int8(const TileArgs& a, const Requantizer& format) noexcept {
  Int8Buffers buffers;
  Tiles tiles;
  const int64_t all_groups = parts_of(a.rows, 16), all_blocks = parts_of(a.tokens, tile_tokens);
  // Equal panels of tokens: a small rest would cost as much as many.
  const int64_t blocks = parts_of(all_blocks, parts_of(a.tokens, a.int8_panel_tokens));
  const int64_t groups = int8_panel_rows / 16 / a.matrices;
  for (int64_t b = 0; b < all_blocks; b += blocks)
    for (int64_t g = 0; g < all_groups; g += groups) {
      const Int8Panel panel{a, g, smaller(groups, all_groups - g), b,
                            smaller(blocks, all_blocks - b)};
      multiply_int8_panel<Tiles>(tiles, panel, format, buffers);
      put_sums(panel, buffers.sums);
    }
}

template <class Tiles, class Format>
void multiply_int8(const TileArgs& a) noexcept {
  multiply_int8<Tiles>(a, requantizer<Format>);
}

}  // namespace
}  // namespace ktx::ops
