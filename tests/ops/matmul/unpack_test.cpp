// unpack_rows against the codecs: every format in every layout, whichever node holds the rows.
#include "ops/matmul/unpack.hpp"

#include <algorithm>
#include <limits>

#include "catch.hpp"
#include "core/quant/blocks.hpp"
#include "matrices.hpp"
#include "ops/matmul/layout_x16.hpp"

using namespace ktx_test;

namespace {

/// A kernel that wants a layout, whatever the format.
template <ops::Layout L>
const ops::MatmulKernel& kernel_of() {
  static const ops::MatmulKernel kernel = [] {
    ops::MatmulKernel copy = *ops::find_matmul_kernel("ref");
    copy.layout = [](Format) noexcept { return L; };
    return copy;
  }();
  return kernel;
}

std::vector<float> unpacked(const ops::PackedMatrix& w, int64_t begin, int64_t end, int node = 0) {
  std::vector<float> out(static_cast<size_t>((end - begin) * w.cols));
  ops::unpack_rows(
      {.matrix = &w, .row_begin = begin, .row_end = end, .node = node, .out = out.data()});
  return out;
}

std::vector<float> rows_of(const Matrix& m, int64_t begin, int64_t end) {
  return {m.row(begin), m.row(end)};
}

}  // namespace

TEST_CASE("unpack_rows: every format's values, exactly, in rows and in x16") {
  Random random(1);
  for (const auto& info : quant::formats()) {
    const auto x16 = ops::x16_format(info.format);
    for (const auto* kernel : {&kernel_of<ops::Layout::rows>(), &kernel_of<ops::Layout::x16>()}) {
      const bool in_rows = kernel == &kernel_of<ops::Layout::rows>();
      if (!in_rows && !x16) continue;
      // 3: units in pairs, the last without partner.
      const int64_t cols = (x16 ? ops::x16_columns(*x16) : info.block) * 3;
      INFO(info.name << (in_rows ? " in rows" : " in x16"));
      const PackedRandom w(*kernel, info.format, 37, cols, random);
      REQUIRE(unpacked(w.w, 0, 37) == w.matrix.values);
      REQUIRE(unpacked(w.w, 17, 35) == rows_of(w.matrix, 17, 35));
    }
  }
}

TEST_CASE("unpack_rows: long rows of formats without blocks") {
  Random random(2);
  for (const Format format : {Format::f32, Format::f16, Format::bf16, Format::int8}) {
    INFO(quant::name(format));
    const int64_t cols = format == Format::int8 ? 160 : 134;
    const PackedRandom w(kernel_of<ops::Layout::x16>(), format, 16, cols, random);
    REQUIRE(unpacked(w.w, 0, 16) == w.matrix.values);
  }
}

TEST_CASE("unpack_rows: reads what the worker's node holds, else another's") {
  Random random(3);
  const PackedRandom low(kernel_of<ops::Layout::x16>(), Format::q8_0, 64, 64, random);
  const PackedRandom high(kernel_of<ops::Layout::x16>(), Format::q8_0, 32, 64, random);
  const ops::NodeRows nodes[] = {{.data = low.packed.data(), .row_begin = 0, .row_end = 64},
                                 {.data = high.packed.data(), .row_begin = 64, .row_end = 96}};
  ops::PackedMatrix w = low.w;
  w.data = nullptr;
  w.rows = 96;
  w.nodes = nodes;
  for (int node : {0, 1}) {
    REQUIRE(unpacked(w, 0, 64, node) == low.matrix.values);
    REQUIRE(unpacked(w, 64, 96, node) == high.matrix.values);
  }
}

TEST_CASE("unpack_rows: a NaN of fp8 makes its block NaN in x16, and no other") {
  Random random(4);
  Matrix w(Format::fp8, 16, 256, random);
  w.bytes[3 * sizeof(quant::BlockFp8) + offsetof(quant::BlockFp8, q) + 5] = std::byte{0x7f};
  const auto packed = w.pack(ops::Layout::x16);
  const ops::PackedMatrix matrix{.data = packed.data(),
                                 .format = Format::fp8,
                                 .rows = 16,
                                 .cols = 256,
                                 .decode = &kernel_of<ops::Layout::x16>()};
  const auto out = unpacked(matrix, 0, 16);
  for (size_t i = 0; i < out.size(); ++i) REQUIRE(std::isnan(out[i]) == (i / 128 == 3));
}
