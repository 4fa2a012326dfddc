// The f32 functions as obvious loops: the oracle of the others' tests and the fallback of any CPU.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/quant/fp8.hpp"
#include "core/quant/half.hpp"
#include "ops/f32/functions.hpp"

namespace ktx::ops::f32 {
namespace {

constexpr float smallest_normal = std::numeric_limits<float>::min();

void dots(const DotsArgs& args) noexcept {
  for (int64_t i = 0; i < args.m; ++i) {
    for (int64_t j = 0; j < args.n; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < args.k; ++l) {
        sum += double(args.a[i * args.a_stride + l]) * args.b[j * args.b_stride + l];
      }
      float& c = args.c[i * args.c_stride + j];
      c = (args.add ? c : 0) + args.scale * float(sum);
    }
  }
}

void accumulate(const AccumulateArgs& args) noexcept {
  for (int64_t i = 0; i < args.m; ++i) {
    float* c = args.c + i * args.c_stride;
    for (int64_t j = 0; j < args.n; ++j) c[j] = args.c_scale ? args.c_scale[i] * c[j] : 0;
    for (int64_t l = 0; l < args.k; ++l) {
      const float a = args.a[i * args.a_stride + l];
      const float* b = args.b + l * args.b_stride;
      for (int64_t j = 0; j < args.n; ++j) c[j] += a * b[j];
    }
  }
}

float max(const float* x, int64_t n) noexcept {
  float result = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < n; ++i) result = std::max(result, x[i]);
  return result;
}

float exp_sum(float* x, int64_t n, float shift) noexcept {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float e = std::exp(x[i] - shift);
    x[i] = e < smallest_normal ? 0 : e;
    sum += x[i];
  }
  return float(sum);
}

float sum_squares(const float* x, int64_t n) noexcept {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double(x[i]) * x[i];
  return float(sum);
}

void silu_mul(const float* gate, const float* up, float* y, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) y[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
}

void from_bf16(const std::byte* x, float* y, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    uint16_t bits;
    std::memcpy(&bits, x + 2 * i, 2);
    y[i] = quant::bf16_to_f32(bits);
  }
}

void from_e4m3(const std::byte* x, float scale, float* y, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) y[i] = scale * quant::e4m3_values[static_cast<size_t>(x[i])];
}

}  // namespace

const Functions ref_functions{dots,        accumulate, max,       exp_sum,
                              sum_squares, silu_mul,   from_bf16, from_e4m3};

}  // namespace ktx::ops::f32
