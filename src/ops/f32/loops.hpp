// The f32 functions over a vector type V, for the ISA units.
//
// Templates only, and V comes from the including unit's anonymous namespace: so every instance
// stays in that unit. V has: Reg, Mask; width (lanes), dots_rows and accumulate_regs (tile sizes);
// load, store (whole and masked), first(n) (mask of the first n lanes), zero, broadcast, add, mul,
// div, max, fma (a * b + c), flip (the signs set in a mask), sum and highest (of the lanes), round
// (to nearest), times_power_of_two, exp, store_sums (of four registers).
#pragma once

#include "ops/f32/functions.hpp"

namespace ktx::ops::f32 {

constexpr int64_t l1_share = 24 * 1024;  // bytes of b that stay in the first-level cache beside a

/// M x 4 dot products (N of the 4 wanted): accumulators run along k, then are summed across lanes.
template <class V, int M, int N>
inline __attribute__((always_inline)) void dots_tile(const DotsArgs& args, const float* a,
                                                     const float* b, float* c) noexcept {
  typename V::Reg sums[M][4];
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < 4; ++j) sums[i][j] = V::zero();
  }
  int64_t l = 0;
  for (; l + V::width <= args.k; l += V::width) {
    typename V::Reg left[M];
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) left[i] = V::load(a + i * args.a_stride + l);
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) {
      const auto right = V::load(b + j * args.b_stride + l);
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) sums[i][j] = V::fma(left[i], right, sums[i][j]);
    }
  }
  if (l < args.k) {
    const auto mask = V::first(args.k - l);
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) {
      const auto right = V::load(mask, b + j * args.b_stride + l);
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) {
        sums[i][j] = V::fma(V::load(mask, a + i * args.a_stride + l), right, sums[i][j]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) {
    float dots[4];
    V::store_sums(sums[i], dots);
    float* out = c + i * args.c_stride;
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) out[j] = (args.add ? out[j] : 0.0f) + args.scale * dots[j];
  }
}

template <class V, int M>
void dots_columns(const DotsArgs& args, const float* a, int64_t begin, int64_t end,
                  float* c) noexcept {
  int64_t j = begin;
  for (; j + 4 <= end; j += 4) dots_tile<V, M, 4>(args, a, args.b + j * args.b_stride, c + j);
  for (; j < end; ++j) dots_tile<V, M, 1>(args, a, args.b + j * args.b_stride, c + j);
}

template <class V>
void dots(const DotsArgs& args) noexcept {
  const int64_t row_bytes = (args.k + 1) * int64_t(sizeof(float));
  const int64_t columns = l1_share / row_bytes / 4 * 4 + 4;
  for (int64_t begin = 0; begin < args.n; begin += columns) {
    const int64_t end = begin + columns < args.n ? begin + columns : args.n;
    int64_t i = 0;
    for (; i + V::dots_rows <= args.m; i += V::dots_rows) {
      dots_columns<V, V::dots_rows>(args, args.a + i * args.a_stride, begin, end,
                                    args.c + i * args.c_stride);
    }
    for (; i < args.m; ++i) {
      dots_columns<V, 1>(args, args.a + i * args.a_stride, begin, end, args.c + i * args.c_stride);
    }
  }
}

/// M rows x N registers of c, the last register masked.
template <class V, int M, int N>
inline __attribute__((always_inline)) void accumulate_tile(const AccumulateArgs& args, int64_t row,
                                                           int64_t column,
                                                           typename V::Mask mask) noexcept {
  const float* a = args.a + row * args.a_stride;
  const float* b = args.b + column;
  float* c = args.c + row * args.c_stride + column;
  constexpr int whole = N - 1;
  typename V::Reg sums[M][N];
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) {
    if (args.c_scale == nullptr) {
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) sums[i][j] = V::zero();
      continue;
    }
    const auto scale = V::broadcast(args.c_scale[row + i]);
    const float* in = c + i * args.c_stride;
#pragma GCC unroll 8
    for (int j = 0; j < whole; ++j) sums[i][j] = V::mul(scale, V::load(in + j * V::width));
    sums[i][whole] = V::mul(scale, V::load(mask, in + whole * V::width));
  }
  for (int64_t l = 0; l < args.k; ++l) {
    typename V::Reg right[N];
#pragma GCC unroll 8
    for (int j = 0; j < whole; ++j) right[j] = V::load(b + j * V::width);
    right[whole] = V::load(mask, b + whole * V::width);
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
      const auto left = V::broadcast(a[i * args.a_stride + l]);
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) sums[i][j] = V::fma(left, right[j], sums[i][j]);
    }
    b += args.b_stride;
  }
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) {
    float* out = c + i * args.c_stride;
#pragma GCC unroll 8
    for (int j = 0; j < whole; ++j) V::store(out + j * V::width, sums[i][j]);
    V::store(mask, out + whole * V::width, sums[i][whole]);
  }
}

template <class V, int N>
void accumulate_rows(const AccumulateArgs& args, int64_t column, typename V::Mask mask) noexcept {
  int64_t i = 0;
  for (; i + 6 <= args.m; i += 6) accumulate_tile<V, 6, N>(args, i, column, mask);
  if (i + 4 <= args.m) accumulate_tile<V, 4, N>(args, i, column, mask), i += 4;
  if (i + 2 <= args.m) accumulate_tile<V, 2, N>(args, i, column, mask), i += 2;
  if (i < args.m) accumulate_tile<V, 1, N>(args, i, column, mask);
}

template <class V>
void accumulate(const AccumulateArgs& args) noexcept {
  constexpr int64_t panel = V::accumulate_regs * V::width;
  int64_t column = 0;
  for (; column + panel <= args.n; column += panel) {
    accumulate_rows<V, V::accumulate_regs>(args, column, V::first(V::width));
  }
  for (; column < args.n; column += V::width) {
    const int64_t left = args.n - column;
    accumulate_rows<V, 1>(args, column, V::first(left < V::width ? left : V::width));
  }
}

template <class V>
float max(const float* x, int64_t n) noexcept {
  auto result = V::broadcast(-__builtin_inff());
  int64_t i = 0;
  for (; i + V::width <= n; i += V::width) result = V::max(result, V::load(x + i));
  float highest = V::highest(result);
  for (; i < n; ++i) highest = x[i] > highest ? x[i] : highest;
  return highest;
}

template <class V>
float exp_sum(float* x, int64_t n, float shift) noexcept {
  const auto less = V::broadcast(-shift);
  auto sum = V::zero();
  int64_t i = 0;
  for (; i + V::width <= n; i += V::width) {
    const auto e = V::exp(V::add(V::load(x + i), less));
    V::store(x + i, e);
    sum = V::add(sum, e);
  }
  if (i < n) {
    const auto mask = V::first(n - i);
    V::store(mask, x + i, V::exp(V::add(V::load(mask, x + i), less)));
    sum = V::add(sum, V::load(mask, x + i));
  }
  return V::sum(sum);
}

template <class V>
float sum_squares(const float* x, int64_t n) noexcept {
  typename V::Reg sums[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
  int64_t i = 0;
  for (; i + 4 * V::width <= n; i += 4 * V::width) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const auto value = V::load(x + i + j * V::width);
      sums[j] = V::fma(value, value, sums[j]);
    }
  }
  for (; i < n; i += V::width) {
    const auto value = V::load(V::first(n - i < V::width ? n - i : V::width), x + i);
    sums[0] = V::fma(value, value, sums[0]);
  }
  return V::sum(V::add(V::add(sums[0], sums[1]), V::add(sums[2], sums[3])));
}

template <class V>
void silu_mul(const float* gate, const float* up, float* y, int64_t n) noexcept {
  const auto one = V::broadcast(1.0f);
  const auto minus_zero = V::broadcast(-0.0f);
  for (int64_t i = 0; i < n; i += V::width) {
    const auto mask = V::first(n - i < V::width ? n - i : V::width);
    const auto g = V::load(mask, gate + i);
    const auto silu = V::div(g, V::add(one, V::exp(V::flip(g, minus_zero))));
    V::store(mask, y + i, V::mul(silu, V::load(mask, up + i)));
  }
}

/// exp by reduction to [-ln 2 / 2, ln 2 / 2] and the polynomial of Cephes' expf (error below 2
/// units in the last place); 0 below the smallest normal number, infinity from 128 ln 2 on.
template <class V>
inline __attribute__((always_inline)) typename V::Reg exp_polynomial(typename V::Reg x) noexcept {
  constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  const auto exponent = V::round(V::mul(x, V::broadcast(1.44269504088896341f)));
  auto r = V::fma(exponent, V::broadcast(-ln2_high), x);
  r = V::fma(exponent, V::broadcast(-ln2_low), r);
  auto p = V::broadcast(1.9875691500e-4f);
  p = V::fma(p, r, V::broadcast(1.3981999507e-3f));
  p = V::fma(p, r, V::broadcast(8.3334519073e-3f));
  p = V::fma(p, r, V::broadcast(4.1665795894e-2f));
  p = V::fma(p, r, V::broadcast(1.6666665459e-1f));
  p = V::fma(p, r, V::broadcast(5.0000001201e-1f));
  p = V::fma(V::mul(r, r), p, V::add(r, V::broadcast(1.0f)));
  return V::times_power_of_two(p, exponent);
}

/// y[i] = scale * convert(number i of x), width numbers of Bytes bytes at a time.
template <class V, int Bytes, class Convert>
inline __attribute__((always_inline)) void widen(const std::byte* x, float scale, float* y,
                                                 int64_t n, const Convert& convert) noexcept {
  const auto factor = V::broadcast(scale);
  int64_t i = 0;
  for (; i + V::width <= n; i += V::width) V::store(y + i, V::mul(factor, convert(x + i * Bytes)));
  if (i == n) return;
  std::byte rest[V::width * Bytes] = {};
  __builtin_memcpy(rest, x + i * Bytes, static_cast<size_t>((n - i) * Bytes));
  V::store(V::first(n - i), y + i, V::mul(factor, convert(rest)));
}

template <class V>
void from_bf16(const std::byte* x, float* y, int64_t n) noexcept {
  widen<V, 2>(x, 1, y, n, [](const std::byte* p) noexcept { return V::from_bf16(p); });
}

template <class V>
void from_e4m3(const std::byte* x, float scale, float* y, int64_t n) noexcept {
  widen<V, 1>(x, 256 * scale, y, n, [](const std::byte* p) noexcept { return V::from_e4m3(p); });
}

template <class V>
constexpr Functions functions_of() noexcept {
  return {dots<V>,        accumulate<V>, max<V>,       exp_sum<V>,
          sum_squares<V>, silu_mul<V>,   from_bf16<V>, from_e4m3<V>};
}

}  // namespace ktx::ops::f32
