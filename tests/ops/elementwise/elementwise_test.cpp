// silu_mul, add and scale_sigmoid on strided rows.
#include "ops/elementwise/elementwise.hpp"

#include <cmath>
#include <vector>

#include "catch.hpp"
#include "ops/ops_numbers.hpp"

using namespace ktx;
using test::random_floats;

namespace {

struct Case {
  void (*op)(const ops::ElementwiseArgs&, hw::WorkerPool&) noexcept;
  double (*formula)(double a, double b);
  bool one_column;  // b is [tokens, 1]
};

const std::vector<Case> cases = {
    {ops::silu_mul, [](double a, double b) { return a / (1 + std::exp(-a)) * b; }, false},
    {ops::add, [](double a, double b) { return a + b; }, false},
    {ops::scale_sigmoid, [](double a, double b) { return a / (1 + std::exp(-b)); }, true},
};

}  // namespace

TEST_CASE("elementwise ops: strided views, several threads, nothing beyond the width") {
  for (const Case& c : cases) {
    for (int64_t tokens : {1, 70}) {
      for (int64_t width : {1, 37, 2048}) {
        INFO("op " << (&c - cases.data()) << ", " << tokens << " x " << width);
        const int64_t a_stride = width + 1, b_stride = width + 2, y_stride = width + 3;
        const auto a = random_floats(tokens * a_stride, 1, 4);
        const auto b = random_floats(tokens * b_stride, 2);
        for (int threads : {1, 3}) {
          hw::WorkerPool pool(threads);
          std::vector<float> y(size_t(tokens * y_stride), -7.0f);
          c.op({a.data(), a_stride, b.data(), b_stride, y.data(), y_stride, tokens, width,
                &ops::f32::best_kernel(hw::usable_isa())},
               pool);
          for (int64_t t = 0; t < tokens; ++t) {
            for (int64_t i = 0; i < width; ++i) {
              const double expected = c.formula(a[size_t(t * a_stride + i)],
                                                b[size_t(t * b_stride + (c.one_column ? 0 : i))]);
              REQUIRE(y[size_t(t * y_stride + i)] == Approx(expected).epsilon(1e-6).margin(1e-6));
            }
            REQUIRE(y[size_t(t * y_stride + width)] == -7.0f);
          }
        }
      }
    }
  }
}
