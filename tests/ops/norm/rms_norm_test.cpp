// rms_norm against the formula in double.
#include "ops/norm/rms_norm.hpp"

#include <cmath>
#include <vector>

#include "catch.hpp"
#include "ops/ops_numbers.hpp"

using namespace ktx;
using test::random_floats;

TEST_CASE("rms_norm: groups, strides, in place, any number of threads") {
  struct Case {
    int64_t tokens, groups, width;
  };
  for (const auto& [tokens, groups, width] :
       {Case{1, 1, 7168}, Case{3, 4, 128}, Case{70, 1, 33}, Case{5, 3, 1}, Case{64, 2, 2048}}) {
    INFO(tokens << ' ' << groups << ' ' << width);
    const int64_t columns = groups * width, stride = columns + 5;
    const auto x = random_floats(tokens * stride, 1, 3), weight = random_floats(width, 2);
    std::vector<float> expected = x;
    for (int64_t i = 0; i < tokens * groups; ++i) {
      const auto at = size_t(i / groups * stride + i % groups * width);
      double sum = 0;
      for (size_t j = 0; j < size_t(width); ++j) sum += double(x[at + j]) * x[at + j];
      for (size_t j = 0; j < size_t(width); ++j) {
        expected[at + j] =
            float(x[at + j] / std::sqrt(sum / double(width) + double(1e-5f)) * weight[j]);
      }
    }
    for (const ops::f32::Kernel& kernel : ops::f32::kernels()) {
      if (kernel.isa > hw::usable_isa()) continue;
      for (int threads : {1, 3}) {
        INFO(kernel.name << ", " << threads << " threads");
        hw::WorkerPool pool(threads);
        std::vector<float> y = x;
        ops::rms_norm({y.data(), stride, y.data(), stride, weight.data(), tokens, groups, width,
                       1e-5f, &kernel},
                      pool);
        for (size_t i = 0; i < y.size(); ++i) {
          REQUIRE(y[i] == Approx(expected[i]).epsilon(1e-6).margin(1e-30));
        }
      }
    }
  }
}

TEST_CASE("rms_norm: eps keeps a row of zeros finite") {
  hw::WorkerPool pool(1);
  const std::vector<float> x(16), weight(16, 2.0f);
  std::vector<float> y(16, 9.0f);
  ops::rms_norm(
      {x.data(), 16, y.data(), 16, weight.data(), 1, 1, 16, 1e-6f, ops::f32::find_kernel("ref")},
      pool);
  for (float v : y) CHECK(v == 0);
}
