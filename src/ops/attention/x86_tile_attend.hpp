// Attention on tiles (attention_tiles.hpp): products of squares, and softmax between them.
//
// A (query, key) takes the tile unit (key dim + value dim) / 512 cycles, 0.63 for DeepSeek-V3; the
// vector units about 0.5: largest score, 2^x, rounding to bf16. Two threads of a core overlap the
// two. Sums are 2 x 2 tiles: 4 products, 64 cycles, for 4 loads of 16 cache lines, of which those
// of the queries (or of their weights) stay in the first-level cache.
#pragma once

#include "ops/attention/x86_tile_panels.hpp"
#include "ops/matmul/simd/x86_unroll.hpp"

namespace ktx::ops {
namespace {

constexpr int64_t tile_floats = 256, square_floats = 1024;

// Tile registers: 0..3 the sums of m and n halves 2 m + n; 4, 5 left; 6, 7 right.

template <class Tiles>
[[gnu::always_inline]] inline void zero_sums(Tiles& tiles) {
  unroll<0, 4>([&](auto i) __attribute__((always_inline)) { tiles.template zero<i>(); });
}

/// A left panel that need not be squares: row m of step k is 64 bytes at m * row_bytes + k *
/// step_bytes.
struct LeftPanel {
  const uint8_t* rows;
  int64_t row_bytes = 64, step_bytes = square_bytes;
};

/// Cache lines that come from memory to the second-level cache beside products.
struct Fetch {
  const std::byte* from = nullptr;
  int64_t lines = 0;  // a step

  [[gnu::always_inline]] void step() {
    for (int64_t i = 0; i < lines; ++i, from += 64) _mm_prefetch(from, _MM_HINT_T1);
  }
};

/// Adds a left panel times a right panel over some squares.
template <class Tiles>
[[gnu::always_inline]] inline void multiply(Tiles& tiles, LeftPanel left, const uint8_t* right,
                                            int64_t steps, Fetch fetch = {}) {
  for (int64_t k = 0; k < steps; ++k, left.rows += left.step_bytes, right += square_bytes) {
    fetch.step();
    tiles.template load<6>(right, 64);
    tiles.template load<4>(left.rows, left.row_bytes);
    tiles.template dot_bf16<0, 4, 6>();
    tiles.template load<7>(right + 1024, 64);
    tiles.template dot_bf16<1, 4, 7>();
    tiles.template load<5>(left.rows + 16 * left.row_bytes, left.row_bytes);
    tiles.template dot_bf16<2, 5, 6>();
    tiles.template dot_bf16<3, 5, 7>();
  }
}

// ---- keys and values out of latents ----

template <class Isa, Direction K>
[[gnu::always_inline]] inline void expand_panels(const ExpandArgs& a) {
  alignas(64) float rows[square_floats];  // [m, n]
  typename Isa::Tiles tiles;
  for (int64_t p = 0; p < a.panels; ++p) {
    zero_sums(tiles);
    multiply(tiles, {a.left}, a.right + p * a.right_bytes, a.steps);
    unroll<0, 4>([&](auto i) __attribute__((always_inline)) {
      tiles.template store<i>(rows + i / 2 * 2 * tile_floats + i % 2 * 16, square_side * 4);
    });
    pack_square<K, Side::left>(FloatSquare<Isa>(rows, square_side, square_side, square_side, 1),
                               a.out + p * a.out_bytes);
  }
}

template <class Isa>
void expand(const ExpandArgs& a) noexcept {
  a.k == Direction::along_rows ? expand_panels<Isa, Direction::along_rows>(a)
                               : expand_panels<Isa, Direction::across_rows>(a);
}

// ---- softmax ----

/// 2^x for x <= 0, relative error below 1e-5; 0 below 2^-126.
[[gnu::always_inline]] inline __m512 power_of_two(__m512 x) {
  // In this way a NaN passes through.
  const __mmask16 nonzero = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-126), _CMP_NLT_UQ);
  // 2^x = 2^floor(x) 2^f; the polynomial meets 2^f at f = 0 and at Chebyshev's points of [0, 1].
  const __m512 f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  __m512 p = _mm512_set1_ps(0.0127631139f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.0534410293f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.240647048f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.693133993f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1));
  return _mm512_maskz_scalef_ps(nonzero, p, x);
}

/// What the 16 queries of a half are to each other: lanes.
struct Half {
  __m512 max, sum;
  __m512i begin, end;
};

/// Scores of keys [key, key + 32) that a query does not see become minus infinity. scores: [32,
/// 16].
[[gnu::always_inline]] inline void hide(const Half& half, int64_t key, float* scores) {
  const __m512 hidden = _mm512_set1_ps(-__builtin_inff());
  for (int i = 0; i < square_side; ++i) {
    const __m512i number = _mm512_set1_epi32(static_cast<int>(key) + i);
    const __mmask16 seen =
        _mm512_cmpge_epi32_mask(number, half.begin) & _mm512_cmplt_epi32_mask(number, half.end);
    const __m512 score = _mm512_loadu_ps(scores + i * 16);
    _mm512_storeu_ps(scores + i * 16, _mm512_mask_mov_ps(hidden, seen, score));
  }
}

/// The largest of some scores [32, 16] and `most`.
[[gnu::always_inline]] inline __m512 largest(const float* scores, __m512 most) {
  __m512 parts[4] = {most, most, most, most};
  for (int i = 0; i < square_side; i += 4)
    for (int j = 0; j < 4; ++j)
      parts[j] = _mm512_max_ps(_mm512_loadu_ps(scores + (i + j) * 16), parts[j]);
  return _mm512_max_ps(_mm512_max_ps(parts[0], parts[1]), _mm512_max_ps(parts[2], parts[3]));
}

/// Scores [32 keys, 16] become a tile of weights, which may lie where they begin.
template <class Isa, Side S>
[[gnu::always_inline]] inline void soften(Half& half, const float* scores, uint8_t* tile) {
  __m512i weights[16];
  for (int i = 0; i < 16; ++i) {
    const __m512 even = power_of_two(_mm512_sub_ps(_mm512_loadu_ps(scores + i * 32), half.max));
    const __m512 odd = power_of_two(_mm512_sub_ps(_mm512_loadu_ps(scores + i * 32 + 16), half.max));
    half.sum = _mm512_add_ps(half.sum, _mm512_add_ps(even, odd));
    weights[i] = Isa::in_pairs(even, odd);
    if constexpr (S == Side::right) _mm512_storeu_si512(tile + i * 64, weights[i]);
  }
  if constexpr (S == Side::right) return;
  transpose_16x16(weights);
  for (int i = 0; i < 16; ++i) _mm512_storeu_si512(tile + i * 64, weights[i]);
}

/// Half of the queries go over to a new maximum. False: none of them has one; else `factor` is by
/// what to multiply their weighted values.
[[gnu::always_inline]] inline bool raise(Half& half, __m512 most, __m512& factor) {
  const __m512 old = half.max;
  half.max = _mm512_max_ps(old, most);
  if (_mm512_cmp_ps_mask(old, half.max, _CMP_NEQ_UQ) == 0) return false;
  factor = power_of_two(_mm512_sub_ps(old, half.max));
  half.sum = _mm512_mul_ps(half.sum, factor);
  return true;
}

[[gnu::always_inline]] inline void raise(const TileAttendArgs& a, int n, Half& half, __m512 most) {
  __m512 factor;
  if (!raise(half, most, factor)) return;
  for (int64_t tile = n; tile < a.value_panels * 4; tile += 2) {
    float* values = a.state.values + tile * tile_floats;
    for (int i = 0; i < 256; i += 16)
      _mm512_storeu_ps(values + i, _mm512_mul_ps(factor, _mm512_loadu_ps(values + i)));
  }
}

// ---- attention ----

/// 32 keys meet 32 queries.
struct Meeting {
  LeftPanel keys;
  const uint8_t* queries;
  int64_t steps;  // squares of a key
  int64_t key;    // number of the first
  bool all_seen;  // by all queries
  float* scores;  // [2 halves of the queries, 32 keys, 16]
  Fetch fetch = {};
};

/// The state of all queries.
struct Softmax {
  [[gnu::always_inline]] Softmax(const float* max, const float* sum, const int32_t* begin,
                                 const int32_t* end) {
    for (int n = 0; n < 2; ++n) {
      halves[n] = {_mm512_loadu_ps(max + n * 16), _mm512_loadu_ps(sum + n * 16),
                   begin == nullptr ? _mm512_setzero_si512() : _mm512_loadu_si512(begin + n * 16),
                   _mm512_loadu_si512(end + n * 16)};
      most[n] = _mm512_set1_ps(no_score);
    }
  }
  [[gnu::always_inline]] void store(float* max, float* sum) const {
    for (int n = 0; n < 2; ++n) {
      _mm512_storeu_ps(max + n * 16, halves[n].max);
      _mm512_storeu_ps(sum + n * 16, halves[n].sum);
    }
  }
  /// Makes the scores of a meeting and notes the largest.
  template <class Tiles>
  [[gnu::always_inline]] void score(Tiles& tiles, const Meeting& a) {
    zero_sums(tiles);
    multiply(tiles, a.keys, a.queries, a.steps, a.fetch);
    unroll<0, 4>([&](auto i) __attribute__((always_inline)) {
      tiles.template store<i>(a.scores + (i % 2 * 2 + i / 2) * tile_floats, 64);
    });
    for (int n = 0; n < 2; ++n) {
      float* own = a.scores + n * 2 * tile_floats;
      if (!a.all_seen) hide(halves[n], a.key, own);
      most[n] = largest(own, most[n]);
    }
  }
  /// The scores of so many meetings become squares of weights where they begin: 2 bytes for 4.
  template <class Isa, Side S>
  [[gnu::always_inline]] uint8_t* weigh(float* scores, int64_t meetings) {
    auto* weights = reinterpret_cast<uint8_t*>(scores);
    for (int64_t s = 0; s < meetings; ++s)
      for (int n = 0; n < 2; ++n)
        soften<Isa, S>(halves[n], scores + s * square_floats + n * 2 * tile_floats,
                       weights + s * square_bytes + n * 1024);
    return weights;
  }

  Half halves[2];
  __m512 most[2];  // scores, of those that are to be added
};

template <class Isa>
void attend(const TileAttendArgs& a) noexcept {
  typename Isa::Tiles tiles;
  const int64_t first = a.begin[0] / square_side;
  const int64_t last = squares_of(a.end[tile_queries - 1]);
  Softmax softmax(a.state.max, a.state.sum, a.begin, a.end);
  for (int64_t s = first; s < last; ++s) {
    const int64_t key = s * square_side;
    softmax.score(tiles,
                  {.keys = {a.keys + s * a.key_steps * square_bytes},
                   .queries = a.queries,
                   .steps = a.key_steps,
                   .key = key,
                   .all_seen = a.begin[tile_queries - 1] <= key && a.end[0] >= key + square_side,
                   .scores = a.scores + (s - first) * square_floats});
  }
  for (int n = 0; n < 2; ++n) raise(a, n, softmax.halves[n], softmax.most[n]);
  const uint8_t* weights = softmax.weigh<Isa, Side::right>(a.scores, last - first);
  softmax.store(a.state.max, a.state.sum);
  for (int64_t p = 0; p < a.value_panels; ++p) {
    float* sums = a.state.values + p * square_floats;
    unroll<0, 4>([&](auto i) __attribute__((always_inline)) {
      tiles.template load<i>(sums + i * tile_floats, 64);
    });
    multiply(tiles, {a.values + p * a.value_bytes + first * square_bytes}, weights, last - first);
    unroll<0, 4>([&](auto i) __attribute__((always_inline)) {
      tiles.template store<i>(sums + i * tile_floats, 64);
    });
  }
}

void write(const TileWriteArgs& a) noexcept {
  for (int n = 0; n < 2; ++n) {
    const __m512 inverse = _mm512_div_ps(_mm512_set1_ps(1), _mm512_loadu_ps(a.state.sum + n * 16));
    for (int64_t i = 0; i < a.value_dim; i += 16) {
      const float* values = a.state.values + (i / 16 * 2 + n) * tile_floats;
      __m512i v[16];  // [value][query], then the other way round
      for (int j = 0; j < 16; ++j)
        v[j] = _mm512_castps_si512(_mm512_mul_ps(inverse, _mm512_loadu_ps(values + j * 16)));
      transpose_16x16(v);
      const __mmask16 lanes = first_lanes(a.value_dim - i);
      for (int q = 0; q < 16 && n * 16 + q < a.queries; ++q)
        _mm512_mask_storeu_epi32(a.out[n * 16 + q] + i, lanes, v[q]);
    }
  }
}

}  // namespace
}  // namespace ktx::ops
