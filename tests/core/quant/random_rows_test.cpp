// Random rows of every format are finite, of sane size, and the same for one seed.
#include "core/quant/random_rows.hpp"

#include <cmath>
#include <vector>

#include "catch.hpp"

using namespace ktx::quant;

TEST_CASE("random rows decode to finite numbers of every format, not all alike") {
  constexpr int64_t rows = 3, cols = 512;
  for (const auto& format : formats()) {
    INFO(format.name);
    const auto bytes = static_cast<size_t>(row_bytes(format.format, cols));
    std::vector<std::byte> data(rows * bytes), again(rows * bytes), other(rows * bytes);
    fill_random_rows(format.format, rows, cols, 1, data.data());
    fill_random_rows(format.format, rows, cols, 1, again.data());
    fill_random_rows(format.format, rows, cols, 2, other.data());
    CHECK(data == again);
    CHECK(data != other);
    for (int64_t r = 0; r < rows; ++r) {
      std::vector<float> values(cols);
      format.decode(data.data() + static_cast<size_t>(r) * bytes, values.data(), cols);
      double sum = 0, squares = 0;
      for (const float value : values) {
        REQUIRE(std::isfinite(value));
        sum += value;
        squares += double(value) * value;
      }
      const double variance = squares / cols - sum / cols * (sum / cols);
      CHECK(variance > 1e-6);
      CHECK(variance < 1e3);
    }
  }
}
