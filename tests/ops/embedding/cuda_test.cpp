// The embedding on a GPU against the formats' codecs.
#include "ops/embedding/cuda.hpp"

#include "catch.hpp"
#include "core/quant/random_rows.hpp"
#include "ops/cuda/refusals.hpp"
#include "ops/ops_numbers.hpp"
#include "support/gpu.hpp"

using namespace ktx;

TEST_CASE("cuda: embedding rows of every format that it reads") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  const int64_t rows = 9, cols = 512, stride = cols + 3;
  const std::vector<int32_t> ids{8, 0, 3, -1, 3};
  int formats = 0;
  for (const quant::FormatInfo& format : quant::formats()) {
    if (!ops::cuda::embedding_refusal(format.format).empty()) continue;
    ++formats;
    INFO(format.name);
    const int64_t row_bytes = quant::row_bytes(format.format, cols);
    std::vector<std::byte> table(size_t(rows * row_bytes));
    quant::fill_random_rows(format.format, rows, cols, 7, table.data());
    const auto on_table = gpu.upload(table);
    const auto on_ids = gpu.upload(ids);
    const auto y = gpu.poisoned(ids.size() * size_t(stride) * 4);
    ops::cuda::embedding({.weights = on_table.data(),
                          .format = format.format,
                          .cols = cols,
                          .ids = on_ids.as<int32_t>(),
                          .tokens = int64_t(ids.size()),
                          .y = y.as<float>(),
                          .y_stride = stride},
                         gpu.queue());
    const auto got = gpu.download<float>(y);
    std::vector<float> row(size_t{cols});
    for (size_t t = 0; t < ids.size(); ++t) {
      std::fill(row.begin(), row.end(), 0.0f);
      if (ids[t] >= 0) format.decode(table.data() + ids[t] * row_bytes, row.data(), cols);
      float largest = 0;
      for (const float x : row) largest = std::max(largest, std::abs(x));
      for (size_t i = 0; i < row.size(); ++i) {
        // The order of roundings in scale * code - min may differ.
        REQUIRE(got[t * size_t(stride) + i] == Approx(row[i]).margin(4e-7 * double(largest)));
      }
    }
  }
  REQUIRE(formats == 16);
}
