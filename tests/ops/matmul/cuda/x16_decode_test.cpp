// Every weight of every packed format, as the GPU's kernels find and read it, on the CPU.
#include "ops/matmul/cuda/x16_decode.hpp"

#include "catch.hpp"
#include "ops/matmul/layout_x16.hpp"
#include "ops/matmul/matrices.hpp"

using namespace ktx_test;
using ktx::ops::X16;

TEST_CASE("cuda: every packed format decodes to its exact numbers") {
  Random random(5);
  for (const auto& row : quant::formats()) {
    const auto x16 = ops::x16_format(row.format);
    if (!x16) continue;
    INFO(row.name);
    // An odd number of units, so that the last one of a pair has no partner; rows that fill no
    // group.
    const int64_t rows = 21, cols = 3 * std::max<int64_t>(32, ops::x16_columns(*x16));
    const Matrix matrix(row.format, rows, cols, random);
    const auto packed = matrix.pack(ops::Layout::x16);
    const int64_t group_bytes = ops::x16_group_bytes(*x16, cols);
    for (int64_t r = 0; r < rows; ++r) {
      float largest = 0;  // scale times code, and what is subtracted, are each rounded
      for (int64_t c = 0; c < cols; ++c) largest = std::max(largest, std::abs(matrix.row(r)[c]));
      const auto load = [&](int64_t offset) {
        REQUIRE(offset % 4 == 0);
        REQUIRE(offset + 4 <= group_bytes);
        uint32_t word;
        std::memcpy(&word, packed.data() + r / 16 * group_bytes + offset, 4);
        return word;
      };
      for (int64_t c = 0; c < cols; c += 8) {
        float got[8];
        ops::cuda::with_x16(*x16, [&]<X16 Of>() {
          ops::cuda::decode_8<Of, ops::cuda::HostCodebooks>(load, static_cast<int>(r % 16), c, got);
        });
        for (int i = 0; i < 8; ++i)
          REQUIRE(std::abs(got[i] - matrix.row(r)[c + i]) <= 0x1p-21f * largest);
      }
    }
  }
}
