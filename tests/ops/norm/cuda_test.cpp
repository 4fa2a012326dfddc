// rms_norm on a GPU against the CPU's.
#include "ops/norm/cuda.hpp"

#include "catch.hpp"
#include "core/quant/half.hpp"
#include "ops/norm/rms_norm.hpp"
#include "ops/ops_numbers.hpp"
#include "support/gpu.hpp"

using namespace ktx;
using test::random_floats;

TEST_CASE("cuda: rms_norm, groups, strides, with and without addition to the residual stream") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  hw::WorkerPool pool(1);
  struct Case {
    int64_t rows, groups, width;
  };
  for (const auto& [rows, groups, width] :
       {Case{1, 1, 7168}, Case{3, 4, 128}, Case{70, 1, 33}, Case{5, 3, 1}, Case{2, 1, 20000}}) {
    for (const bool added : {false, true}) {
      INFO(rows << ' ' << groups << ' ' << width << ' ' << added);
      const int64_t columns = groups * width, stride = columns + 5;
      auto x = random_floats(rows * stride, 1, 3);
      const auto add = random_floats(rows * stride, 3), weight = random_floats(width, 2);
      const auto on_x = gpu.upload(x), on_add = gpu.upload(add), on_weight = gpu.upload(weight);
      const auto y = gpu.poisoned(x.size() * 4), halves = gpu.poisoned(x.size() * 2);
      ops::cuda::rms_norm({.x = on_x.as<float>(),
                           .x_stride = stride,
                           .add = added ? on_add.as<float>() : nullptr,
                           .add_stride = stride,
                           .y = y.as<float>(),
                           .y_bf16 = halves.as<uint16_t>(),
                           .y_stride = stride,
                           .weight = on_weight.as<float>(),
                           .rows = rows,
                           .groups = groups,
                           .width = width,
                           .eps = 1e-5f},
                          gpu.queue());
      const auto got = gpu.download<float>(y), sums = gpu.download<float>(on_x);
      const auto rounded = gpu.download<uint16_t>(halves);
      if (added) {
        for (int64_t i = 0; i < rows * stride; ++i) {
          if (i % stride < columns) x[size_t(i)] += add[size_t(i)];
        }
      }
      REQUIRE(sums == x);
      std::vector<float> expected(x.size());
      ops::rms_norm({x.data(), stride, expected.data(), stride, weight.data(), rows, groups, width,
                     1e-5f, ops::f32::find_kernel("ref")},
                    pool);
      for (size_t i = 0; i < x.size(); ++i) {
        if (int64_t(i) % stride >= columns) {
          REQUIRE(rounded[i] == 0xffff);  // what lies between rows is left alone
          continue;
        }
        REQUIRE(got[i] == Approx(expected[i]).epsilon(2e-6).margin(1e-30));
        REQUIRE(rounded[i] == quant::f32_to_bf16(got[i]));
      }
    }
  }
}
