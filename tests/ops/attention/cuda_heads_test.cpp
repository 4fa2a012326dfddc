// Products with a matrix of each head on a GPU against sums in double.
#include "ops/attention/cuda_heads.hpp"

#include "catch.hpp"
#include "ops/attention/cuda_batches.hpp"

using namespace ktx;

TEST_CASE("cuda: products of heads, few rows and many, both ways round") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  const ops::cuda::HeadProducts products(gpu.queue());
  struct Case {
    int64_t heads, outputs, inputs, rows;
    bool transposed, shared;
  };
  for (const Case& c : {Case{5, 512, 128, 1, false, false}, Case{3, 128, 512, 7, false, false},
                        Case{4, 40, 32, 16, false, false}, Case{2, 128, 192, 9, false, false},
                        Case{3, 512, 128, 100, false, false}, Case{4, 128, 512, 70, true, true},
                        Case{4, 32, 128, 3, true, true}, Case{3, 128, 512, 257, false, true}}) {
    INFO(c.heads << " heads, " << c.inputs << " to " << c.outputs << ", " << c.rows << " rows, "
                 << c.transposed << c.shared);
    const int64_t x_head = c.shared ? 0 : c.inputs + 8;
    const int64_t x_row = c.shared ? c.inputs + 8 : c.heads * x_head;
    const int64_t y_head = c.outputs + 8, y_row = c.heads * y_head;
    const auto w = test::rounded_to_bf16(test::random_floats(c.heads * c.outputs * c.inputs, 1));
    const auto x = test::rounded_to_bf16(test::random_floats(c.rows * x_row, 2));
    const auto on_w = gpu.upload(test::to_bf16(w)), on_x = gpu.upload(test::to_bf16(x));
    const auto y = gpu.poisoned(size_t(c.rows * y_row) * 2);
    products.run({.weights = on_w.as<uint16_t>(),
                  .transposed = c.transposed,
                  .heads = c.heads,
                  .outputs = c.outputs,
                  .inputs = c.inputs,
                  .x = on_x.as<uint16_t>(),
                  .x_row = x_row,
                  .x_head = x_head,
                  .y = y.as<uint16_t>(),
                  .y_row = y_row,
                  .y_head = y_head,
                  .rows = c.rows});
    const auto got = test::from_bf16(gpu.download<uint16_t>(y));
    for (int64_t r = 0; r < c.rows; ++r) {
      for (int64_t h = 0; h < c.heads; ++h) {
        std::vector<float> expected;
        for (int64_t o = 0; o < c.outputs; ++o) {
          double sum = 0;
          for (int64_t i = 0; i < c.inputs; ++i) {
            const int64_t at = c.transposed ? i * c.outputs + o : o * c.inputs + i;
            sum += double(w[size_t(h * c.outputs * c.inputs + at)]) *
                   double(x[size_t(r * x_row + h * x_head + i)]);
          }
          expected.push_back(float(sum));
        }
        const auto at = got.begin() + r * y_row + h * y_head;
        REQUIRE(test::relative_distance(std::vector<float>(at, at + c.outputs), expected) < 0x1p-8);
      }
    }
  }
}
