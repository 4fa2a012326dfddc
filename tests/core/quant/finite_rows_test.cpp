// Every format's scales are found.
#include "core/quant/finite_rows.hpp"

#include <cmath>
#include <cstring>
#include <vector>

#include "catch.hpp"
#include "core/quant/random_rows.hpp"

using namespace ktx;
using quant::Format;

namespace {

// Finite scales may be so large that weights are not: NaN alone tells of a scale that is none.
bool decodes_to_nan(Format format, const std::byte* row, int64_t cols) {
  std::vector<float> out(static_cast<size_t>(cols));
  quant::info(format).decode(row, out.data(), cols);
  for (const float x : out)
    if (std::isnan(x)) return true;
  return false;
}

}  // namespace

TEST_CASE("a scale that is NaN is found wherever a format keeps it, and sane rows are finite") {
  constexpr int64_t rows = 3, cols = 512;
  for (const auto& info : quant::formats()) {
    INFO(info.name);
    const auto bytes = static_cast<size_t>(quant::row_bytes(info.format, cols));
    std::vector<std::byte> stored(rows * bytes);
    quant::fill_random_rows(info.format, rows, cols, 1, stored.data());
    CHECK(quant::are_finite(info.format, stored.data(), rows, cols));
    // Bits of an exponent at every place of a row, one place at a time.
    int found = 0, wrong = 0;
    for (size_t at = bytes; at + 1 < 2 * bytes; ++at) {
      for (const uint8_t high : {0x7f, 0x7c, 0xff}) {
        auto damaged = stored;
        damaged[at] = std::byte{0xff};
        damaged[at + 1] = std::byte{high};
        const bool nan = decodes_to_nan(info.format, damaged.data() + bytes, cols);
        found += nan;
        wrong += nan && quant::are_finite(info.format, damaged.data(), rows, cols);
      }
    }
    CHECK(wrong == 0);
    if (info.format != Format::iq1_m) CHECK(found > 0);  // its scale is in two words
  }
}

TEST_CASE("iq1_m keeps its scale in four nibbles") {
  std::vector<std::byte> row(static_cast<size_t>(quant::row_bytes(Format::iq1_m, 256)));
  quant::fill_random_rows(Format::iq1_m, 1, 256, 2, row.data());
  CHECK(quant::are_finite(Format::iq1_m, row.data(), 1, 256));
  row[48 + 5] |= std::byte{0xc0};  // the exponent's low bits, in the third word
  CHECK(quant::are_finite(Format::iq1_m, row.data(), 1, 256));
  row[48 + 7] |= std::byte{0x70};  // and its high ones, in the fourth
  CHECK_FALSE(quant::are_finite(Format::iq1_m, row.data(), 1, 256));
}
