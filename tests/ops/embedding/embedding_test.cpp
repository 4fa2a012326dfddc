// embedding: rows by id, out of several formats.
#include "ops/embedding/embedding.hpp"

#include <vector>

#include "catch.hpp"
#include "ops/ops_numbers.hpp"

using namespace ktx;
using quant::Format;

TEST_CASE("embedding: decodes the rows of the ids, in any format") {
  const int64_t rows = 11, cols = 512, stride = cols + 3;
  const auto table = test::random_floats(rows * cols, 1);
  std::vector<int32_t> ids = {10, 0, 3, 3, 7};
  for (int i = 0; i < 200; ++i) ids.push_back(i * 7 % 11);
  const auto tokens = int64_t(ids.size());
  for (Format format : {Format::f32, Format::bf16, Format::q8_0, Format::int8, Format::int4_64}) {
    INFO(quant::name(format));
    const auto row_bytes = size_t(quant::row_bytes(format, cols));
    std::vector<std::byte> weights(size_t(rows) * row_bytes);
    for (size_t r = 0; r < size_t(rows); ++r) {
      quant::info(format).encode(table.data() + int64_t(r) * cols, weights.data() + r * row_bytes,
                                 cols);
    }
    for (int threads : {1, 3}) {
      hw::WorkerPool pool(threads);
      std::vector<float> y(size_t(tokens * stride), -7.0f), row(static_cast<size_t>(cols));
      ops::embedding({weights.data(), format, cols, ids.data(), tokens, y.data(), stride}, pool);
      for (size_t t = 0; t < ids.size(); ++t) {
        quant::info(format).decode(weights.data() + size_t(ids[t]) * row_bytes, row.data(), cols);
        const float* out = y.data() + int64_t(t) * stride;
        REQUIRE(std::vector<float>(out, out + cols) == row);
        REQUIRE(out[cols] == -7.0f);
      }
    }
  }
}
