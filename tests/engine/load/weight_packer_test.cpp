// Packing block by block gives what packing a whole matrix gives, wherever rows go.
#include "engine/load/weight_packer.hpp"

#include <cstring>

#include "catch.hpp"

using namespace ktx;
using engine::Destination;
using quant::Format;

namespace {

// Any values; the same each time.
std::vector<float> numbers(int64_t count) {
  std::vector<float> out;
  uint32_t state = 7;
  for (int64_t i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;
    out.push_back(static_cast<float>(state >> 8) * 0x1p-24f - 0.5f);
  }
  return out;
}

std::vector<std::byte> encoded(Format format, const std::vector<float>& x, int64_t cols) {
  const int64_t rows = static_cast<int64_t>(x.size()) / cols,
                bytes = quant::row_bytes(format, cols);
  std::vector<std::byte> out(static_cast<size_t>(rows * bytes));
  for (int64_t r = 0; r < rows; ++r)
    quant::info(format).encode(x.data() + r * cols, out.data() + r * bytes, cols);
  return out;
}

std::vector<std::byte> packed(Format format, ops::Layout layout, int64_t rows, int64_t cols,
                              const std::byte* src) {
  std::vector<std::byte> out(static_cast<size_t>(ops::packed_bytes(layout, format, rows, cols)));
  ops::pack_matrix({.layout = layout,
                    .format = format,
                    .rows = rows,
                    .cols = cols,
                    .row_begin = 0,
                    .row_end = rows,
                    .src = src,
                    .dst = out.data()});
  return out;
}

std::vector<std::byte> rows_of(const std::vector<std::byte>& all, int64_t row_bytes, int64_t first,
                               int64_t count) {
  return {all.begin() + first * row_bytes, all.begin() + (first + count) * row_bytes};
}

}  // namespace

TEST_CASE("rows go to every destination that takes them, as if each were packed alone") {
  const graph::Weight weight{.source = Format::f32, .count = 3, .rows = 200, .cols = 256};
  const auto stored = encoded(Format::f32, numbers(3 * 200 * 256), 256);
  for (const Format format : {Format::f32, Format::int4_64, Format::int8}) {
    for (const auto layout : {ops::Layout::rows, ops::Layout::x16}) {
      const auto all = encoded(format, numbers(3 * 200 * 256), 256);
      const auto row_bytes = quant::row_bytes(format, 256);
      // A copy of everything, and the rows split unevenly over two others.
      const std::pair<int64_t, int64_t> ranges[] = {{0, 200}, {0, 112}, {112, 200}};
      std::vector<std::vector<std::byte>> memory;
      std::vector<Destination> destinations;
      for (const auto& [begin, end] : ranges) {
        const auto bytes = ops::packed_bytes(layout, format, end - begin, 256);
        memory.emplace_back(static_cast<size_t>(3 * bytes));
        destinations.push_back({memory.back().data(), begin, end, bytes});
      }
      engine::PackScratch scratch;
      const engine::WeightPacker packer(weight, format, layout);
      const auto pack = [&](const engine::WeightBlock& block) {
        const auto rows = engine::stored_rows(weight, block);
        packer.pack(block, stored.data() + rows.first * 1024, destinations, scratch);
      };
      pack({.first_matrix = 1, .matrices = 2, .row_begin = 0, .row_end = 200});
      pack({.first_matrix = 0, .matrices = 1, .row_begin = 96, .row_end = 200});
      pack({.first_matrix = 0, .matrices = 1, .row_begin = 0, .row_end = 96});
      for (size_t d = 0; d < destinations.size(); ++d)
        for (int64_t m = 0; m < 3; ++m) {
          const auto& to = destinations[d];
          const int64_t count = to.row_end - to.row_begin;
          const auto rows = rows_of(all, row_bytes, m * 200 + to.row_begin, count);
          const auto expected = packed(format, layout, count, 256, rows.data());
          CHECK(std::memcmp(to.data + m * to.matrix_bytes, expected.data(), expected.size()) == 0);
        }
    }
  }
}

TEST_CASE("transposed matrices are turned") {
  const graph::Weight weight{
      .source = Format::f32, .count = 2, .rows = 3, .cols = 5, .transposed = true};
  const auto x = numbers(2 * 3 * 5);
  std::vector<float> out(30);
  const Destination to{reinterpret_cast<std::byte*>(out.data()), 0, 3, 60};
  engine::PackScratch scratch;
  engine::WeightPacker(weight, Format::f32, ops::Layout::rows)
      .pack({.first_matrix = 0, .matrices = 2, .row_begin = 0, .row_end = 3},
            reinterpret_cast<const std::byte*>(x.data()), {&to, 1}, scratch);
  for (size_t m = 0; m < 2; ++m)
    for (size_t r = 0; r < 3; ++r)
      for (size_t c = 0; c < 5; ++c) CHECK(out[m * 15 + r * 5 + c] == x[m * 15 + c * 3 + r]);
}

TEST_CASE("scratch is what the plan was told, and nothing for formats that are kept") {
  const graph::Weight weight{.source = Format::bf16, .count = 1, .rows = 4096, .cols = 2048};
  CHECK(engine::WeightPacker::scratch_bytes(weight, Format::bf16) == 0);
  engine::PackScratch scratch;
  std::vector<std::byte> stored(4096u * 2048 * 2), out(4096u * 2048);
  const Destination to{out.data(), 0, 4096, 0};
  engine::WeightPacker(weight, Format::int4_64, ops::Layout::x16)
      .pack({.row_end = 4096}, stored.data(), {&to, 1}, scratch);
  CHECK(scratch.floats.size() * sizeof(float) + scratch.encoded.size() ==
        engine::WeightPacker::scratch_bytes(weight, Format::int4_64));
}
