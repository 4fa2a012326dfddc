// Elementwise ops of a GPU against their formulas.
#include "ops/elementwise/cuda.hpp"

#include "catch.hpp"
#include "core/quant/half.hpp"
#include "ops/ops_numbers.hpp"
#include "support/gpu.hpp"

using namespace ktx;
using ktx::test::random_floats;
using quant::bf16_to_f32;

namespace {

std::vector<uint16_t> random_bf16(int64_t n, uint32_t seed) {
  std::vector<uint16_t> numbers;
  for (const float x : random_floats(n, seed)) numbers.push_back(quant::f32_to_bf16(x));
  return numbers;
}

}  // namespace

TEST_CASE("cuda: silu_mul") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  const int64_t tokens = 3, width = 1030;
  const auto gate = random_bf16(tokens * width, 1), up = random_bf16(tokens * width, 2);
  const auto g = gpu.upload(gate), u = gpu.upload(up), y = gpu.poisoned(gate.size() * 2);
  ops::cuda::silu_mul({.gate = g.as<uint16_t>(),
                       .gate_stride = width,
                       .up = u.as<uint16_t>(),
                       .up_stride = width,
                       .y = y.as<uint16_t>(),
                       .y_stride = width,
                       .tokens = tokens,
                       .width = width},
                      gpu.queue());
  std::vector<float> got, expected;
  for (const uint16_t h : gpu.download<uint16_t>(y)) got.push_back(bf16_to_f32(h));
  for (size_t i = 0; i < gate.size(); ++i) {
    const float x = bf16_to_f32(gate[i]);
    expected.push_back(x / (1 + std::exp(-x)) * bf16_to_f32(up[i]));
  }
  REQUIRE(test::relative_distance(got, expected) <
          0x1p-8);  // rounding to bf16: at most half of this
}

TEST_CASE("cuda: add and the rounding to bf16 are exact") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  const int64_t tokens = 3, width = 341, n = tokens * width;
  const auto a = random_floats(n, 1), b = random_floats(n, 2);
  const auto on_a = gpu.upload(a), on_b = gpu.upload(b);
  const auto rounded = gpu.poisoned(n * 2), back = gpu.poisoned(n * 4);
  ops::cuda::add({.a = on_a.as<float>(),
                  .a_stride = width,
                  .b = on_b.as<float>(),
                  .b_stride = width,
                  .y = on_a.as<float>(),
                  .y_stride = width,
                  .tokens = tokens,
                  .width = width},
                 gpu.queue());
  ops::cuda::ConvertArgs convert{.from = on_a.as<float>(),
                                 .from_stride = width,
                                 .to_bf16 = rounded.as<uint16_t>(),
                                 .to_stride = width,
                                 .tokens = tokens,
                                 .width = width};
  ops::cuda::convert(convert, gpu.queue());
  convert.from = nullptr;
  convert.from_bf16 = rounded.as<uint16_t>();
  convert.to_bf16 = nullptr;
  convert.to = back.as<float>();
  ops::cuda::convert(convert, gpu.queue());
  const auto sums = gpu.download<float>(on_a), again = gpu.download<float>(back);
  const auto halves = gpu.download<uint16_t>(rounded);
  for (size_t i = 0; i < sums.size(); ++i) {
    REQUIRE(sums[i] == a[i] + b[i]);
    REQUIRE(halves[i] == quant::f32_to_bf16(sums[i]));
    REQUIRE(again[i] == bf16_to_f32(halves[i]));
  }
}

TEST_CASE("cuda: sigmoid scales, biases and chosen rows") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  const int64_t tokens = 4, width = 300;
  const auto a = random_floats(tokens * width, 1), b = random_floats(tokens, 2);
  const auto bias = random_floats(width, 3);
  const auto on_a = gpu.upload(a), on_b = gpu.upload(b), on_bias = gpu.upload(bias);
  const auto y = gpu.poisoned(a.size() * 4), rows = gpu.poisoned(2 * width * 4);
  ops::cuda::scale_sigmoid({.a = on_a.as<float>(),
                            .a_stride = width,
                            .b = on_b.as<float>(),
                            .b_stride = 1,
                            .y = y.as<float>(),
                            .y_stride = width,
                            .tokens = tokens,
                            .width = width},
                           gpu.queue());
  ops::cuda::add_bias({.bias = on_bias.as<float>(),
                       .y = y.as<float>(),
                       .y_stride = width,
                       .tokens = tokens,
                       .width = width},
                      gpu.queue());
  ops::cuda::take_rows({.x = y.as<float>(),
                        .x_stride = width,
                        .y = rows.as<float>(),
                        .y_stride = width,
                        .width = width,
                        .count = 2,
                        .rows = {3, 1}},
                       gpu.queue());
  const auto got = gpu.download<float>(y), taken = gpu.download<float>(rows);
  std::vector<float> expected;
  for (size_t i = 0; i < a.size(); ++i) {
    const auto t = i / size_t(width), column = i % size_t(width);
    expected.push_back(a[i] / (1 + std::exp(-b[t])) + bias[column]);
  }
  REQUIRE(test::relative_distance(got, expected) < 1e-5);
  for (size_t i = 0; i < size_t(width); ++i) {
    REQUIRE(taken[i] == got[3 * size_t(width) + i]);
    REQUIRE(taken[size_t(width) + i] == got[size_t(width) + i]);
  }
}
