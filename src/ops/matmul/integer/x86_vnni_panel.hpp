// Products of the integer formats with many tokens, for AVX-512 VNNI: a panel of 32 rows is decoded
// once, 256 columns at a time, to codes and scales in the L1 cache that all tokens use.
//
// It is bound by the two vector ports. For 32 columns of 16 rows and one token they execute 8
// products, and 3 micro-operations for the weights' scale and minimum and the token's scale (2 in
// formats with a zero point). Little more than one load of 64 bytes completes per cycle, so with
// one vector of rows loading would take as long as multiplying. 2 vectors of rows x 6 tokens load 8
// operands for 12 products; their integer and float sums fill 24 registers.
#pragma once

#include "ops/matmul/integer/x86_integer_kernel.hpp"
#include "ops/matmul/simd/x86_simd_avx512.hpp"

namespace ktx::ops {
namespace {

constexpr int64_t vnni_panel_rows = 32, vnni_panel_columns = 256;
/// Their activations and sums of a panel's columns are 24 KiB.
constexpr int64_t vnni_panel_tokens = 64;
constexpr int64_t tokens_at_once = 6;  // with sums in registers

/// From this number of tokens on, equal parts of at most tokens_at_once have at least 4 tokens.
constexpr int64_t least_vnni_panel_tokens = 9;

/// 1.5 * 2^23: the bits of this float plus an integer of less than 2^22 are the float of their sum.
/// Sums that start there need no conversion: s * sum = s * float - s * 1.5 * 2^23, where the last
/// product is exact, since scales have at most 18 significant bits.
constexpr float sum_base = 12582912.0f;

/// How the columns of a format share scales: whether every 16 have one (else 32), and whether the
/// weight is s * (code - zero), else s * code - m.
template <bool Halves, bool ZeroPoint>
struct Scaling {
  static constexpr bool halves = Halves, zero_point = ZeroPoint;
  static constexpr int steps = halves ? 4 : 8;  // of 4 columns that share a scale
  static constexpr int scales_of_block = halves ? 2 : 1;
  static constexpr int scales = 8 * scales_of_block;  // of 256 columns
};

template <class Format>
using ScalingOf = Scaling<(Format::scales > Format::blocks), (Format::zero >= 0)>;

template <class Scaling>
struct VnniPanel {
  alignas(64) uint8_t codes[vnni_panel_columns / 4][2][64];
  alignas(64) float scale[Scaling::scales][2][16];  // s
  alignas(64) float base[Scaling::scales][2][16];   // -s * sum_base
  alignas(64) float min[Scaling::scales][2][16];    // m; unused with a zero point
  // Where the sums of a token start: sum_base - zero * sum of q, as the bits of a float.
  alignas(64) int32_t start[vnni_panel_tokens][16];
  alignas(64) float sums[vnni_panel_tokens][2][16];
};

/// Columns [32 * block, 32 * (block + blocks)) of a panel.
struct Columns {
  int64_t block, blocks;
};

/// vector: one of the two of the panel.
template <class Format, class Scaling>
[[gnu::always_inline]] inline void decode_group(const uint8_t* group, const Columns& columns,
                                                int vector, VnniPanel<Scaling>& panel) {
  constexpr int blocks = Format::blocks, scales = blocks * Scaling::scales_of_block;
  const __m512 minus_base = _mm512_set1_ps(-sum_base);
  for (int64_t b = 0; b < columns.blocks; b += blocks) {
    const auto unit = Format::open(group, (columns.block + b) / blocks, 0);
    for (int64_t j = 0; j < blocks; ++j) {
      __m512i codes[8];  // before any is stored: they share look-ups
      unroll<0, 8>([&](auto k) __attribute__((always_inline)) {
        codes[k] = Format::template codes<k>(unit.codes, j, 0);
      });
      for (int k = 0; k < 8; ++k)
        _mm512_store_si512(panel.codes[(b + j) * 8 + k][vector], codes[k]);
    }
    unroll<0, scales>([&](auto i) __attribute__((always_inline)) {
      constexpr int from = Format::scales == 1 ? 0 : i;
      const int64_t to = b * Scaling::scales_of_block + i;
      _mm512_store_ps(panel.scale[to][vector], unit.s[from]);
      _mm512_store_ps(panel.base[to][vector], _mm512_mul_ps(unit.s[from], minus_base));
      if constexpr (!Scaling::zero_point) _mm512_store_ps(panel.min[to][vector], unit.m[from]);
    });
  }
}

/// Sums of q are the row's sums of x divided by its scales. They are integers below 2^12, so that a
/// reciprocal of 14 bits is exact enough to recover them.
template <class Format, class Scaling>
[[gnu::always_inline]] inline void set_start(const X16Args& a, const uint8_t* x,
                                             const Columns& columns, int32_t* start) {
  const auto lanes = [](int64_t n) { return static_cast<__mmask16>((1u << n) - 1); };
  const auto floats = [&](int64_t offset, int64_t per_block) {
    return _mm512_maskz_loadu_ps(lanes(columns.blocks * per_block),
                                 x + offset + columns.block * per_block * 4);
  };
  __m512 scale = floats(a.scales, 1);
  if constexpr (Scaling::halves)
    scale = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7),
                                  scale);
  const __m512 sum = floats(Scaling::halves ? a.half_sums : a.sums, Scaling::scales_of_block);
  const __mmask16 some = _mm512_cmp_ps_mask(scale, _mm512_setzero_ps(), _CMP_NEQ_UQ);
  const __m512i q =
      _mm512_maskz_cvtps_epi32(some, _mm512_mul_ps(sum, _mm512_maskz_rcp14_ps(some, scale)));
  const __m512i base = _mm512_castps_si512(_mm512_set1_ps(sum_base));
  _mm512_store_si512(
      start, _mm512_sub_epi32(base, _mm512_mullo_epi32(q, _mm512_set1_epi32(Format::zero))));
}

/// T tokens of a panel, from panel.sums[token] on.
struct TokenArgs {
  const uint8_t* x[tokens_at_once];  // at the first of the columns
  int64_t scales, mins;              // from there to the scale and the sum of the first block
  int64_t token;
};

template <class Scaling, int T>
[[gnu::noinline]] void multiply_at_once(VnniPanel<Scaling>& panel, const TokenArgs& a,
                                        int64_t blocks) noexcept {
  __m512 acc[T][2];
  const uint8_t* x[T];
  unroll<0, T>([&](auto t) __attribute__((always_inline)) {
    x[t] = a.x[t];
    unroll<0, 2>([&](auto v) __attribute__((always_inline)) {
      acc[t][v] = _mm512_load_ps(panel.sums[a.token + t][v]);
    });
  });
  const int64_t to_scales = a.scales, to_mins = a.mins, token = a.token;
  for (int64_t j = 0; j < blocks * Scaling::scales_of_block; ++j) {
    __m512i sum[T][2];
    unroll<0, T>([&](auto t) __attribute__((always_inline)) {
      sum[t][0] = sum[t][1] = Scaling::zero_point ? _mm512_set1_epi32(panel.start[token + t][j])
                                                  : _mm512_castps_si512(_mm512_set1_ps(sum_base));
    });
    unroll<0, Scaling::steps>([&](auto k) __attribute__((always_inline)) {
      const int64_t step = j * Scaling::steps + k;
      const __m512i first = _mm512_load_si512(panel.codes[step][0]);
      const __m512i second = _mm512_load_si512(panel.codes[step][1]);
      unroll<0, T>([&](auto t) __attribute__((always_inline)) {
        const __m512i four = _mm512_set1_epi32(int_at(x[t] + step * 4));
        sum[t][0] = _mm512_dpbusd_epi32(sum[t][0], first, four);
        sum[t][1] = _mm512_dpbusd_epi32(sum[t][1], second, four);
      });
    });
    unroll<0, 2 * T>([&](auto i) __attribute__((always_inline)) {
      constexpr int t = i / 2, v = i % 2;
      const auto float_of = [&](int64_t offset, int64_t n) {
        return _mm512_set1_ps(float_at(x[t] + offset + n * 4));
      };
      const __m512 value =
          _mm512_fmadd_ps(_mm512_castsi512_ps(sum[t][v]), _mm512_load_ps(panel.scale[j][v]),
                          _mm512_load_ps(panel.base[j][v]));
      acc[t][v] =
          _mm512_fmadd_ps(value, float_of(to_scales, j / Scaling::scales_of_block), acc[t][v]);
      if constexpr (!Scaling::zero_point)
        acc[t][v] =
            _mm512_fnmadd_ps(_mm512_load_ps(panel.min[j][v]), float_of(to_mins, j), acc[t][v]);
    });
  }
  unroll<0, 2 * T>([&](auto i) __attribute__((always_inline)) {
    _mm512_store_ps(panel.sums[a.token + i / 2][i % 2], acc[i / 2][i % 2]);
  });
}

/// The two groups of a panel; a missing second group is replaced by the first and not stored.
struct PanelGroups {
  const uint8_t* group[2];
  int64_t rows;  // 1..32
};

inline PanelGroups panel_at(const X16Args& a, int64_t row) {
  const uint8_t* first = a.weights + row / 16 * a.group_bytes;
  const int64_t rows = a.rows - row < vnni_panel_rows ? a.rows - row : vnni_panel_rows;
  return {{first, rows > 16 ? first + a.group_bytes : first}, rows};
}

/// Prefetches the next weights in equal parts between products, because fetching all at once would
/// stall loads.
struct Ahead {
  const uint8_t* group[2];
  int64_t begin, end;  // bytes of each

  void fetch(int64_t part, int64_t parts) const {
    const int64_t bytes = end - begin;
    for (int64_t at = begin + bytes * part / parts; at < begin + bytes * (part + 1) / parts;
         at += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(group[0] + at), _MM_HINT_T1);
      _mm_prefetch(reinterpret_cast<const char*>(group[1] + at), _MM_HINT_T1);
    }
  }
};

/// col: the column after those being multiplied, in the panel at `row`.
inline Ahead ahead_of(const X16Args& a, int64_t row, int64_t col) {
  const auto bytes = [&](int64_t c) {
    return c < a.cols ? a.group_bytes * c / a.cols : a.group_bytes;
  };
  PanelGroups groups = panel_at(a, row);
  if (col >= a.cols) {
    col = 0;
    if (row + vnni_panel_rows < a.rows)
      groups = panel_at(a, row + vnni_panel_rows);
    else if (a.next != nullptr)
      groups = {{a.next, a.next + a.group_bytes}, vnni_panel_rows};
    else
      return {{a.weights, a.weights}, 0, 0};
  }
  return {{groups.group[0], groups.group[1]}, bytes(col), bytes(col + vnni_panel_columns)};
}

/// Tokens [first, first + tokens) of one chunk of columns.
template <class Format, class Scaling>
void multiply_tokens(const X16Args& a, VnniPanel<Scaling>& panel, const Columns& columns,
                     int64_t first, int64_t tokens, const Ahead& ahead) noexcept {
  const int64_t parts = (tokens + tokens_at_once - 1) / tokens_at_once;
  for (int64_t i = 0; i < parts; ++i) {
    ahead.fetch(i, parts);
    const int64_t begin = tokens * i / parts, end = tokens * (i + 1) / parts;
    const int64_t mins = (Scaling::halves ? a.half_sums : a.sums);
    TokenArgs args{.x = {},
                   .scales = a.scales + columns.block * (4 - 32),
                   .mins = mins + columns.block * (4 * Scaling::scales_of_block - 32),
                   .token = begin};
    for (int64_t t = begin; t < end; ++t) {
      const uint8_t* x = x_row(a, first + t);
      if constexpr (Scaling::zero_point) set_start<Format, Scaling>(a, x, columns, panel.start[t]);
      args.x[t - begin] = x + columns.block * 32;
    }
    const int64_t count = end - begin;
    count == 6   ? multiply_at_once<Scaling, 6>(panel, args, columns.blocks)
    : count == 5 ? multiply_at_once<Scaling, 5>(panel, args, columns.blocks)
                 : multiply_at_once<Scaling, 4>(panel, args, columns.blocks);
  }
}

template <class Format, class Scaling>
void store_panel(const X16Args& a, const VnniPanel<Scaling>& panel, const PanelGroups& groups,
                 int64_t row, int64_t first, int64_t tokens) noexcept {
  for (int64_t t = 0; t < tokens; ++t)
    for (int v = 0; v < 2 && groups.rows > 16 * v; ++v) {
      __m512 value = _mm512_load_ps(panel.sums[t][v]);
      if constexpr (Format::row_scale)
        value = _mm512_mul_ps(value, Format::scale_of_row(groups.group[v], 0));
      Avx512::store(a.y + (first + t) * a.y_stride + row + 16 * v, value, groups.rows - 16 * v);
    }
}

/// a.tokens >= least_vnni_panel_tokens.
template <class Format>
void multiply_panels(const X16Args& a) noexcept {
  VnniPanel<ScalingOf<Format>> panel;
  const int64_t parts = (a.tokens + vnni_panel_tokens - 1) / vnni_panel_tokens;
  for (int64_t row = 0; row < a.rows; row += vnni_panel_rows) {
    const PanelGroups groups = panel_at(a, row);
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t first = a.tokens * part / parts;
      const int64_t tokens = a.tokens * (part + 1) / parts - first;
      __builtin_memset(panel.sums, 0, static_cast<size_t>(tokens) * sizeof(panel.sums[0]));
      for (int64_t col = 0; col < a.cols; col += vnni_panel_columns) {
        const int64_t left = a.cols - col;
        const Columns columns{col / 32,
                              (left < vnni_panel_columns ? left : vnni_panel_columns) / 32};
        decode_group<Format>(groups.group[0], columns, 0, panel);
        decode_group<Format>(groups.group[1], columns, 1, panel);
        multiply_tokens<Format>(a, panel, columns, first, tokens,
                                ahead_of(a, row, col + vnni_panel_columns));
      }
      store_panel<Format>(a, panel, groups, row, first, tokens);
    }
  }
}

}  // namespace
}  // namespace ktx::ops
