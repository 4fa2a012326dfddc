// Rows of floats as int8 with one scale, in AVX-512: x about scale * q, |q| <= 127.
#pragma once

#include "ops/matmul/tiles/x86_token_rows.hpp"

namespace ktx::ops {
namespace {

/// The largest magnitude of a row, or NaN if there is one.
[[gnu::always_inline]] inline float largest_magnitude(const float* row, int64_t cols) {
  __m512 most = _mm512_setzero_ps();
  __mmask16 bad = 0;
  for (int64_t c = 0; c < cols; c += 16) {
    const __m512 magnitude = _mm512_abs_ps(load_columns(row, c, cols));
    bad |= _mm512_cmp_ps_mask(magnitude, magnitude, _CMP_UNORD_Q);
    most = _mm512_max_ps(most, magnitude);
  }
  return bad != 0 ? __builtin_nanf("") : _mm512_reduce_max_ps(most);
}

/// Calls store(c, q) for every 16 columns from 0 to `width`, a multiple of 16, with q as 32-bit
/// numbers, zero past `cols`. Returns the scale; it is NaN if the row has one.
template <class Store>
[[gnu::always_inline]] inline float quantize_row(const float* row, int64_t cols, int64_t width,
                                                 const Store& store) {
  const float largest = largest_magnitude(row, cols);
  const __m512 inverse = _mm512_set1_ps(largest > 0 ? 127 / largest : 0);
  for (int64_t c = 0; c < width; c += 16)
    store(c, _mm512_cvtps_epi32(_mm512_mul_ps(load_columns(row, c, cols), inverse)));
  return largest / 127;
}

}  // namespace
}  // namespace ktx::ops
