// FP8 codes with scales of any type and block: rows are code times scale.
#include <cmath>

#include "catch.hpp"
#include "core/quant/fp8.hpp"
#include "core/quant/half.hpp"
#include "files.hpp"
#include "memory_source.hpp"

namespace ktx::loader {
namespace {

constexpr int64_t experts = 2, rows = 130, cols = 200;

std::string some_codes() {
  Random random(1);
  std::string bytes;
  while (bytes.size() < experts * rows * cols) {
    const auto code = static_cast<char>(random.next());
    if ((code & 0x7f) != 0x7f) bytes += code;
  }
  return bytes;
}

// Scale number i, exact in every type.
float scale(ScaleType type, int64_t i) {
  const double value = type == ScaleType::e8m0 ? std::exp2(static_cast<double>(i % 40) - 20)
                                               : 0.25 * static_cast<double>(i % 100 + 1);
  return static_cast<float>(value);
}

std::string stored(ScaleType type, float value) {
  switch (type) {
    case ScaleType::f32:
      return raw(value);
    case ScaleType::f16:
      return raw(quant::f32_to_f16(value));
    case ScaleType::bf16:
      return raw(quant::f32_to_bf16(value));
    case ScaleType::e8m0:
      break;
  }
  return raw(static_cast<uint8_t>(std::lround(std::log2(value)) + 127));
}

void check(ScaleType type, int64_t block_rows, int64_t block_cols) {
  INFO(static_cast<int>(type) << ": " << block_rows << " x " << block_cols);
  const int64_t down = (rows + block_rows - 1) / block_rows,
                across = (cols + block_cols - 1) / block_cols;
  const std::string codes = some_codes();
  std::string scales;
  for (int64_t i = 0; i < experts * down * across; ++i) scales += stored(type, scale(type, i));
  const MemorySource code_file(codes), scale_file(scales);
  const auto made =
      assemble_fp8({.codes = code_file.rows(cols),
                    .scales = {scale_file.rows(scales.size() / static_cast<size_t>(experts * down)),
                               type, across},
                    .matrix_rows = rows,
                    .cols = cols,
                    .block_rows = block_rows,
                    .block_cols = block_cols});
  CHECK(made->format() ==
        (block_cols % 128 == 0 || block_cols >= cols ? quant::Format::fp8 : quant::Format::f32));
  for (const auto& [first, count] :
       {std::pair<int64_t, int64_t>{0, 260}, {127, 6}, {259, 1}, {9, 0}}) {
    const auto got = weights_of(*made, first, count, cols);
    int64_t wrong = 0;
    for (int64_t r = first; r < first + count; ++r)
      for (int64_t c = 0; c < cols; ++c) {
        const int64_t at = (r / rows * down + r % rows / block_rows) * across + c / block_cols;
        const auto code = static_cast<uint8_t>(codes[static_cast<size_t>(r * cols + c)]);
        wrong += got[static_cast<size_t>((r - first) * cols + c)] !=
                 quant::e4m3_values[code] * scale(type, at);
      }
    CHECK(wrong == 0);
  }
}

TEST_CASE("FP8 rows are code times scale, whatever the scales' type and block") {
  for (const auto type : {ScaleType::f32, ScaleType::f16, ScaleType::bf16, ScaleType::e8m0})
    for (const auto& [r, c] : {std::pair<int64_t, int64_t>{128, 128},
                               {1, cols},
                               {rows, cols},
                               {64, 256},
                               {64, 64},
                               {32, 33}})
      check(type, r, c);
}

TEST_CASE("an e8m0 scale of 255 is no number, of 0 the smallest") {
  const MemorySource codes(std::string(2, '\x38')), scales(std::string("\xff\0", 2));
  const auto made = assemble_fp8({.codes = codes.rows(1),
                                  .scales = {scales.rows(1), ScaleType::e8m0, 1},
                                  .matrix_rows = 2,
                                  .cols = 1,
                                  .block_rows = 1,
                                  .block_cols = 1});
  const auto got = weights_of(*made, 0, 2, 1);
  CHECK(std::isnan(got[0]));
  CHECK(got[1] == std::exp2(-127.0f));
}

}  // namespace
}  // namespace ktx::loader
