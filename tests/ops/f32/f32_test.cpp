// Every set of f32 inner loops against plain loops in double.
#include "ops/f32/f32.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/quant/fp8.hpp"
#include "core/quant/half.hpp"
#include "ops/ops_numbers.hpp"

using namespace ktx;
using ops::f32::Kernel;
using test::random_floats;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

std::vector<const Kernel*> usable_kernels() {
  std::vector<const Kernel*> result;
  for (const Kernel& kernel : ops::f32::kernels()) {
    if (kernel.isa <= hw::usable_isa()) result.push_back(&kernel);
  }
  return result;
}

struct Shape {
  int64_t m, n, k;
};

const std::vector<Shape> shapes = {{1, 1, 1},   {1, 5, 7},   {4, 4, 16},   {3, 9, 33},
                                   {5, 64, 48}, {7, 66, 17}, {13, 70, 65}, {48, 64, 576},
                                   {6, 1, 100}, {2, 31, 2}};

// A sum of k products in float32 is within k epsilon of the sum of their magnitudes.
double bound(double magnitudes, int64_t k) {
  return magnitudes * 1.2e-7 * double(k + 4);
}

}  // namespace

TEST_CASE("f32 kernels: the table is ordered, ref last, and found by name") {
  const auto table = ops::f32::kernels();
  REQUIRE(table.back().name == "ref");
  REQUIRE(table.back().isa == hw::Isa::scalar);
  for (size_t i = 1; i < table.size(); ++i) CHECK(table[i].isa < table[i - 1].isa);
  for (const Kernel& kernel : table) {
    CHECK(ops::f32::find_kernel(kernel.name) == &kernel);
    CHECK(&ops::f32::best_kernel(kernel.isa) == &kernel);
  }
  CHECK(ops::f32::find_kernel("avx1024") == nullptr);
  CHECK(ops::f32::best_kernel(hw::Isa::amx_int8).name == "avx512");
}

TEST_CASE("f32 dots: scaled dot products of rows, strided, written or added") {
  for (const Kernel* kernel : usable_kernels()) {
    for (const auto& [m, n, k] : shapes) {
      INFO(kernel->name << ' ' << m << 'x' << n << 'x' << k);
      const int64_t a_stride = k + 3, b_stride = k + 1, c_stride = n + 2;
      const auto a = random_floats(m * a_stride, 1), b = random_floats(n * b_stride, 2);
      auto c = random_floats(m * c_stride, 3);
      const auto before = c;
      for (const bool add : {false, true}) {
        c = before;
        kernel->functions->dots(
            {a.data(), a_stride, b.data(), b_stride, c.data(), c_stride, m, n, k, 0.5f, add});
        for (int64_t i = 0; i < m; ++i) {
          for (int64_t j = 0; j < c_stride; ++j) {
            const auto at = size_t(i * c_stride + j);
            double expected = j < n && !add ? 0 : before[at], magnitudes = std::abs(expected);
            for (int64_t l = 0; j < n && l < k; ++l) {
              const double product =
                  0.5 * double(a[size_t(i * a_stride + l)]) * b[size_t(j * b_stride + l)];
              expected += product;
              magnitudes += std::abs(product);
            }
            REQUIRE(std::abs(c[at] - expected) <= bound(magnitudes, k));
          }
        }
      }
    }
  }
}

TEST_CASE("f32 dots: a result does not depend on the block it is computed in") {
  for (const Kernel* kernel : usable_kernels()) {
    const int64_t m = 11, n = 23, k = 71;
    const auto a = random_floats(m * k, 1), b = random_floats(n * k, 2);
    std::vector<float> c(size_t(m * n));
    kernel->functions->dots({a.data(), k, b.data(), k, c.data(), n, m, n, k});
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        float one = 0;
        kernel->functions->dots({a.data() + i * k, k, b.data() + j * k, k, &one, 1, 1, 1, k});
        REQUIRE(one == c[size_t(i * n + j)]);
      }
    }
  }
}

TEST_CASE("f32 accumulate: rows scaled and weighted rows added") {
  for (const Kernel* kernel : usable_kernels()) {
    for (const auto& [m, n, k] : shapes) {
      INFO(kernel->name << ' ' << m << 'x' << n << 'x' << k);
      const int64_t a_stride = k + 3, b_stride = n + 1, c_stride = n + 2;
      const auto a = random_floats(m * a_stride, 1), b = random_floats(k * b_stride, 2);
      const auto scale = random_floats(m, 4);
      auto c = random_floats(m * c_stride, 3);
      const auto before = c;
      for (const float* c_scale : {scale.data(), static_cast<const float*>(nullptr)}) {
        c = before;
        kernel->functions->accumulate(
            {a.data(), a_stride, b.data(), b_stride, c.data(), c_stride, c_scale, m, n, k});
        for (int64_t i = 0; i < m; ++i) {
          for (int64_t j = 0; j < c_stride; ++j) {
            const auto at = size_t(i * c_stride + j);
            double expected = before[at];
            if (j < n) expected *= c_scale == nullptr ? 0 : scale[size_t(i)];
            double magnitudes = std::abs(expected);
            for (int64_t l = 0; j < n && l < k; ++l) {
              const double product =
                  double(a[size_t(i * a_stride + l)]) * b[size_t(l * b_stride + j)];
              expected += product;
              magnitudes += std::abs(product);
            }
            REQUIRE(std::abs(c[at] - expected) <= bound(magnitudes, k));
          }
        }
      }
    }
  }
}

TEST_CASE("f32 accumulate: without a scale c is not read") {
  for (const Kernel* kernel : usable_kernels()) {
    const auto a = random_floats(5 * 3, 1), b = random_floats(3 * 37, 2);
    std::vector<float> c(5 * 37, std::numeric_limits<float>::quiet_NaN());
    kernel->functions->accumulate({a.data(), 3, b.data(), 37, c.data(), 37, nullptr, 5, 37, 3});
    for (float x : c) REQUIRE(std::isfinite(x));
  }
}

TEST_CASE("f32 max and sum_squares") {
  for (const Kernel* kernel : usable_kernels()) {
    for (int64_t n : {0, 1, 3, 8, 16, 17, 63, 64, 65, 200, 7168}) {
      INFO(kernel->name << ' ' << n);
      const auto x = random_floats(n, 5);
      float highest = -infinity;
      double sum = 0;
      for (float v : x) {
        highest = std::max(highest, v);
        sum += double(v) * v;
      }
      CHECK(kernel->functions->max(x.data(), n) == highest);
      CHECK(kernel->functions->sum_squares(x.data(), n) == Approx(sum).epsilon(1e-6));
    }
  }
}

TEST_CASE("f32 exp_sum: exp within 1e-6, its sum, and the ends of the range") {
  for (const Kernel* kernel : usable_kernels()) {
    INFO(kernel->name);
    std::vector<float> x;
    for (float v = -87.3f; v <= 0; v += 0.00371f) x.push_back(v);
    x.insert(x.end(), {-87.2f, -0.0f, 0.34657f, 0.34658f, -1e-30f});
    for (const float shift : {0.0f, 3.5f}) {
      auto shifted = x;
      for (float& v : shifted) v += shift;
      auto e = shifted;
      const float sum = kernel->functions->exp_sum(e.data(), int64_t(e.size()), shift);
      double expected_sum = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const double expected = std::exp(double(shifted[i] - shift));
        expected_sum += expected;
        REQUIRE(e[i] == Approx(expected).epsilon(1e-6).margin(1.2e-38));
      }
      CHECK(sum == Approx(expected_sum).epsilon(1e-5));
    }
    std::vector<float> ends = {-infinity, -1e30f, -104, -88, 0, std::nanf("")};
    ends.resize(19, -infinity);
    kernel->functions->exp_sum(ends.data(), 19, 0);
    for (int i : {0, 1, 2, 3, 6, 18}) CHECK(ends[size_t(i)] == 0);
    CHECK(ends[4] == 1);
    CHECK(std::isnan(ends[5]));
  }
}

TEST_CASE("f32 silu_mul: within 2e-6, in place, and the ends of the range") {
  for (const Kernel* kernel : usable_kernels()) {
    INFO(kernel->name);
    std::vector<float> gate;
    for (float v = -86; v <= 110; v += 0.0137f) gate.push_back(v);
    const auto up = random_floats(int64_t(gate.size()), 6);
    auto y = gate;
    kernel->functions->silu_mul(y.data(), up.data(), y.data(), int64_t(y.size()));
    for (size_t i = 0; i < y.size(); ++i) {
      const double expected = gate[i] / (1 + std::exp(-double(gate[i]))) * up[i];
      REQUIRE(y[i] == Approx(expected).epsilon(2e-6).margin(1e-37));
    }
    const std::vector<float> ends = {-1000, 1000, std::nanf(""), -infinity};
    const std::vector<float> ones(4, 1);
    std::vector<float> out(4);
    kernel->functions->silu_mul(ends.data(), ones.data(), out.data(), 3);
    CHECK(std::abs(out[0]) <= 1e-35f);
    CHECK(out[1] == 1000);
    CHECK(std::isnan(out[2]));
    CHECK(out[3] == 0);
  }
}

TEST_CASE("f32 from_bf16, from_e4m3: the value of every code, in rows of any length") {
  std::vector<std::byte> bf16(2 * 65536), e4m3(256);
  for (size_t i = 0; i < 65536; ++i) {
    const auto bits = uint16_t(i);
    std::memcpy(bf16.data() + 2 * i, &bits, 2);
  }
  for (size_t i = 0; i < 256; ++i) e4m3[i] = std::byte(i);
  const auto same = [](float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  for (const Kernel* kernel : usable_kernels()) {
    INFO(kernel->name);
    std::vector<float> y(65536);
    kernel->functions->from_bf16(bf16.data(), y.data(), 65536);
    for (size_t i = 0; i < 65536; ++i) REQUIRE(same(y[i], quant::bf16_to_f32(uint16_t(i))));
    kernel->functions->from_e4m3(e4m3.data(), -0.3f, y.data(), 256);
    for (size_t i = 0; i < 256; ++i) REQUIRE(same(y[i], -0.3f * quant::e4m3_values[i]));
    for (int64_t n = 0; n < 40; ++n) {
      y.assign(41, 7);
      kernel->functions->from_bf16(bf16.data() + 2 * 16000 + 1, y.data(), n);  // at an odd address
      for (int64_t i = 0; i < n; ++i) {
        uint16_t bits;
        std::memcpy(&bits, bf16.data() + 2 * 16000 + 1 + 2 * i, 2);
        REQUIRE(same(y[size_t(i)], quant::bf16_to_f32(bits)));
      }
      REQUIRE(y[size_t(n)] == 7);
      kernel->functions->from_e4m3(e4m3.data() + 3, 2, y.data(), n);
      for (int64_t i = 0; i < n; ++i)
        REQUIRE(y[size_t(i)] == 2 * quant::e4m3_values[size_t(i + 3)]);
      REQUIRE(y[size_t(n)] == 7);
    }
  }
}
