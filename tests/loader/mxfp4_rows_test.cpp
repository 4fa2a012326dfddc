// Rows of mxfp4 are the codes' values times their powers of two, whichever rows are asked for.
#include <array>
#include <cmath>

#include "catch.hpp"
#include "memory_source.hpp"

namespace ktx::loader {
namespace {

constexpr int64_t rows = 7, cols = 96;

unsigned code(int64_t r, int64_t c) {
  return static_cast<unsigned>(r * 5 + c * 3 + c / 32) % 16;
}
unsigned exponent(int64_t r, int64_t group) {
  return static_cast<unsigned>(120 + r + 2 * group);
}

// By the OCP's table of e2m1 and bias of e8m0.
float weight(int64_t r, int64_t c) {
  constexpr std::array<float, 8> values{0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  const float magnitude =
      std::ldexp(values[code(r, c) & 7], static_cast<int>(exponent(r, c / 32)) - 127);
  return (code(r, c) & 8) != 0 ? -magnitude : magnitude;
}

TEST_CASE("codes two a byte, the first in the low bits, with powers of two") {
  std::string codes, scales;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; c += 2)
      codes += static_cast<char>(code(r, c) | code(r, c + 1) << 4);
    for (int64_t g = 0; g < cols / 32; ++g) scales += static_cast<char>(exponent(r, g));
  }
  const MemorySource code_file(codes), scale_file(scales);
  const auto made = assemble_mxfp4({code_file.rows(cols / 2), scale_file.rows(cols / 32), cols});
  CHECK(made->format() == quant::Format::mxfp4);
  CHECK(made->ranges().size() == 2);
  for (const auto& [first, count] :
       {std::pair<int64_t, int64_t>{0, rows}, {3, 2}, {rows - 1, 1}, {0, 0}}) {
    const auto got = weights_of(*made, first, count, cols);
    int64_t wrong = 0;
    for (int64_t r = 0; r < count; ++r)
      for (int64_t c = 0; c < cols; ++c)
        wrong += got[static_cast<size_t>(r * cols + c)] != weight(first + r, c);
    CHECK(wrong == 0);
  }
}

}  // namespace
}  // namespace ktx::loader
