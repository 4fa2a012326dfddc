// Panels (onednn_panels.hpp) in AVX-512: their decoding, the activations they meet, and their sums.
#include "ops/matmul/float/x86_float_kernel.hpp"
#include "ops/matmul/onednn/onednn_panels.hpp"
#include "ops/matmul/simd/x86_simd_avx512.hpp"
#include "ops/matmul/tiles/x86_quantize_row.hpp"

namespace ktx::ops {
namespace {

using S = Avx512;

constexpr int64_t line = 64;  // bytes: one vector of 16 rows

[[gnu::always_inline]] inline void clear(uint8_t* from, const uint8_t* to) {
  for (; from < to; from += line) _mm512_store_si512(from, _mm512_setzero_si512());
}

// ---- panels ----

// Columns of formats without scales: the whole row is one unit.
template <class Columns>
struct Unscaled {
  using Format = Columns;
  static constexpr int64_t unit_columns = panel_chunk;
  static const uint8_t* unit(const uint8_t* group, int64_t col) {
    return group + col / Columns::columns * Columns::step_bytes;
  }
  static __m512 scale(const uint8_t*) { return _mm512_set1_ps(1); }
};

struct Fp8Units {
  using Format = E4m3Columns<S>;
  static constexpr int64_t unit_columns = 128;
  static const uint8_t* unit(const uint8_t* group, int64_t col) {
    return group + col / 128 * (64 + 128 * 16) + 64;
  }
  // Codes are read as value * 2^-8.
  static __m512 scale(const uint8_t* unit) {
    return _mm512_mul_ps(_mm512_load_ps(unit - 64), _mm512_set1_ps(256));
  }
};

template <class Units>
void decode_floats(const PanelArgs& a) noexcept {
  using Format = typename Units::Format;
  if (a.groups < 4) clear(a.panel, a.panel + a.cols * 4 * line);
  for (int64_t g = 0; g < a.groups; ++g) {
    const uint8_t* group = a.weights + g * a.group_bytes;
    uint8_t* out = a.panel + g * line;
    for (int64_t c = 0; c < a.cols; c += Units::unit_columns) {
      const uint8_t* step = Units::unit(group, a.col + c);
      const __m512 scale = Units::scale(step);
      const int64_t end = a.cols - c < Units::unit_columns ? a.cols : c + Units::unit_columns;
      for (int64_t i = c; i < end; i += Format::columns, step += Format::step_bytes)
        unroll<0, Format::columns>([&](auto column) __attribute__((always_inline)) {
          const __m512 value = Format::template column<column>(step, 0);
          _mm512_store_ps(out + (i + column) * 4 * line, _mm512_mul_ps(value, scale));
        });
    }
  }
  clear(a.panel + a.cols * 4 * line, a.panel + panel_columns(a.cols) * 4 * line);
}

void decode_int8(const PanelArgs& a) noexcept {
  const __m512i zero_point = _mm512_set1_epi8(static_cast<char>(128));
  if (a.groups < 4) clear(a.panel, a.panel + a.cols * line);
  for (int64_t g = 0; g < 4; ++g) {
    __m512i sum = _mm512_setzero_si512();
    if (g < a.groups) {
      const uint8_t* codes = a.weights + g * a.group_bytes + line + a.col / 4 * line;
      for (int64_t k = 0; k < a.cols / 4; ++k) {
        const __m512i value = _mm512_xor_si512(_mm512_load_si512(codes + k * line), zero_point);
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), value);
        _mm512_store_si512(a.panel + (k * 4 + g) * line, value);
      }
    }
    _mm512_storeu_si512(a.sums + g * 16, sum);
  }
  clear(a.panel + a.cols * line, a.panel + panel_columns(a.cols) * line);
}

// ---- activations ----

/// The first token of the chunk; number, beside: bytes of a number, and of what each token has
/// besides its row.
[[gnu::always_inline]] inline uint8_t* chunk_at(const TilePackArgs& a, int64_t number,
                                                int64_t beside) {
  return a.tiles + a.col / panel_chunk * a.blocks * tile_tokens * (panel_chunk * number + beside);
}

void pack_f32(const TilePackArgs& a) noexcept {
  const int64_t width = panel_columns(a.cols);
  auto* row = reinterpret_cast<float*>(chunk_at(a, 4, 0)) + a.block * tile_tokens * width;
  for (int64_t t = 0; t < tile_tokens; ++t, row += width)
    for (int64_t c = 0; c < width; c += 16)
      _mm512_store_ps(row + c,
                      t < a.tokens ? load_columns(row_of(a, t), c, a.cols) : _mm512_setzero_ps());
}

void pack_u8(const TilePackArgs& a) noexcept {
  const int64_t width = panel_columns(a.cols), rows = a.blocks * tile_tokens;
  uint8_t* chunk = chunk_at(a, 1, 4);
  uint8_t* out = chunk + a.block * tile_tokens * width;
  auto* scales = reinterpret_cast<float*>(chunk + rows * width) + a.block * tile_tokens;
  const __m128i zero_point = _mm_set1_epi8(static_cast<char>(128));
  for (int64_t t = 0; t < tile_tokens; ++t, out += width) {
    const float* row = row_of(a, t < a.tokens ? t : 0);
    const int64_t cols = t < a.tokens ? a.cols : 0;  // zeros for tokens that are not there
    scales[t] = quantize_row(row, cols, width, [&](int64_t c, __m512i q) {
      _mm_store_si128(reinterpret_cast<__m128i*>(out + c),
                      _mm_xor_si128(_mm512_cvtsepi32_epi8(q), zero_point));
    });
  }
}

// ---- sums ----

[[gnu::always_inline]] inline __mmask16 lanes(const PanelSumArgs& a, int64_t row) {
  const int64_t left = a.rows - row;
  return static_cast<__mmask16>(left >= 16 ? 0xffff : left <= 0 ? 0 : (1u << left) - 1);
}

[[gnu::always_inline]] inline void add(const PanelSumArgs& a, int64_t t, int64_t row,
                                       __m512 value) {
  const __mmask16 mask = lanes(a, row);
  float* y = a.y + t * a.y_stride + row;
  if (!a.first) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, y));
  _mm512_mask_storeu_ps(y, mask, value);
}

void add_f32(const PanelSumArgs& a) noexcept {
  const auto* products = static_cast<const float*>(a.products);
  for (int64_t t = 0; t < a.tokens; ++t)
    for (int64_t r = 0; r < a.rows; r += 16)
      add(a, t, r, _mm512_load_ps(products + t * panel_rows + r));
}

void add_int8(const PanelSumArgs& a) noexcept {
  const auto* products = static_cast<const int32_t*>(a.products);
  for (int64_t r = 0; r < a.rows; r += 16) {
    // x was stored with 128 added.
    const __m512i extra = _mm512_slli_epi32(_mm512_loadu_si512(a.sums + r), 7);
    const __m512 scales = _mm512_load_ps(a.weights + r / 16 * a.group_bytes);
    for (int64_t t = 0; t < a.tokens; ++t) {
      const __m512i sum = _mm512_sub_epi32(_mm512_load_si512(products + t * panel_rows + r), extra);
      const __m512 scale = _mm512_mul_ps(scales, _mm512_set1_ps(a.x_scales[t]));
      add(a, t, r, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale));
    }
  }
}

constexpr PanelUnit make_unit() {
  PanelUnit unit{.decode = {},
                 .pack_f32 = pack_f32,
                 .pack_u8 = pack_u8,
                 .add_f32 = add_f32,
                 .add_int8 = add_int8};
  const auto set = [&](X16 format, void (*decode)(const PanelArgs&) noexcept) {
    unit.decode[static_cast<int>(format)] = decode;
  };
  set(X16::f32, decode_floats<Unscaled<F32Columns<S>>>);
  set(X16::f16, decode_floats<Unscaled<F16Columns<S>>>);
  set(X16::bf16, decode_floats<Unscaled<Bf16Columns<S>>>);
  set(X16::fp8, decode_floats<Fp8Units>);
  set(X16::int8, decode_int8);
  return unit;
}

}  // namespace

constexpr PanelUnit x86_avx512_vnni_onednn = make_unit();

}  // namespace ktx::ops
