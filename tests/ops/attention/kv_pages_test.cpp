// Rows of a cache: rounded to its format and back, in parts, scales and all.
#include "ops/attention/kv_pages.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "core/quant/fp8.hpp"
#include "core/quant/half.hpp"
#include "ops/attention/attention_kernels.hpp"
#include "ops/attention/paged_cache.hpp"
#include "ops/ops_numbers.hpp"

using namespace ktx;
using graph::KvFormat;
using test::random_floats;

namespace {

// A last group that is cut short, exact numbers at an odd address in fp8.
constexpr graph::KvRow odd_row{.scaled = 53, .group = 20, .exact = 7};

void write_row(const ops::KvPages& cache, std::byte* to, const float* numbers) {
  ops::write_numbers({&cache, to, 0, cache.row.scaled, numbers});
  ops::write_numbers({&cache, to, cache.row.scaled, cache.row.exact, numbers + cache.row.scaled});
}

/// Rows [token, token + tokens) of a page, whole, dense.
std::vector<float> read(const test::PagedCache& pages, const ops::AttentionKernel& kernel,
                        int32_t page, int64_t token, int64_t tokens) {
  const int64_t width = pages.cache.row.numbers();
  std::vector<float> scratch(size_t(tokens * width)), result;
  const auto rows = ops::read_rows({.cache = &pages.cache,
                                    .functions = kernel.functions,
                                    .page = page,
                                    .token = token,
                                    .tokens = tokens,
                                    .numbers = width,
                                    .scratch = scratch.data()});
  for (int64_t t = 0; t < tokens; ++t)
    result.insert(result.end(), rows.data + t * rows.stride, rows.data + t * rows.stride + width);
  return result;
}

/// What the format makes of a row, by its definition.
std::vector<float> rounded(KvFormat format, const graph::KvRow& row, std::vector<float> x) {
  const auto bf16 = [](float& number) { number = quant::bf16_to_f32(quant::f32_to_bf16(number)); };
  if (format == KvFormat::bf16)
    for (float& number : x) bf16(number);
  if (format != KvFormat::fp8) return x;
  for (int64_t begin = 0; begin < row.scaled; begin += row.group) {
    const int64_t end = std::min(begin + row.group, row.scaled);
    float largest = 0;
    for (int64_t i = begin; i < end; ++i) largest = std::max(largest, std::abs(x[size_t(i)]));
    const float scale = largest / 448;
    for (int64_t i = begin; i < end; ++i)
      x[size_t(i)] = scale * quant::e4m3_values[quant::e4m3_code(x[size_t(i)] / scale)];
  }
  for (int64_t i = row.scaled; i < row.numbers(); ++i) bf16(x[size_t(i)]);
  return x;
}

}  // namespace

TEST_CASE("kv pages: rows are rounded as their format says, and lie one after another") {
  for (const graph::KvRow& row : {odd_row, graph::KvRow{.scaled = 512, .group = 128, .exact = 64}})
    for (const KvFormat format : test::cache_formats)
      for (const auto* kernel : test::usable_attention_kernels()) {
        INFO(graph::info(format).name << ", " << kernel->name << ", " << row.scaled);
        test::PagedCache pages(format, row, 3);
        const int64_t width = row.numbers();
        const auto numbers = random_floats(3 * width, 1);
        std::vector<float> expected;
        for (int64_t i = 0; i < 3; ++i) {
          write_row(pages.cache, pages.cache.row_of(1, 40 + i), numbers.data() + i * width);
          const auto exact = rounded(
              format, row, {numbers.begin() + i * width, numbers.begin() + (i + 1) * width});
          expected.insert(expected.end(), exact.begin(), exact.end());
        }
        REQUIRE(read(pages, *kernel, 1, 40, 3) == expected);
        // Their neighbours are as they were.
        for (const int64_t other : {39, 43})
          for (const float x : read(pages, *kernel, 1, other, 1)) REQUIRE(std::isnan(x));
      }
}

TEST_CASE("kv pages: groups are read by themselves") {
  test::PagedCache pages(KvFormat::fp8, odd_row, 1);
  const auto numbers = random_floats(odd_row.numbers(), 2);
  write_row(pages.cache, pages.cache.row_of(0, 5), numbers.data());
  for (const auto* kernel : test::usable_attention_kernels()) {
    const auto whole = read(pages, *kernel, 0, 5, 1);
    for (const auto& [first, count] : {std::pair{20, 20}, {20, 40}, {40, 13}, {40, 20}, {53, 7}}) {
      std::vector<float> scratch(64);
      const auto part = ops::read_rows({.cache = &pages.cache,
                                        .functions = kernel->functions,
                                        .page = 0,
                                        .token = 5,
                                        .tokens = 1,
                                        .number = first,
                                        .numbers = count,
                                        .scratch = scratch.data()});
      for (int64_t i = 0; i < count; ++i) REQUIRE(part.data[i] == whole[size_t(first + i)]);
    }
  }
}

TEST_CASE("kv pages: fp8 keeps zeros, the largest number, and what is not a number") {
  const graph::KvRow row{.scaled = 4, .group = 2, .exact = 0};
  const ops::AttentionKernel& kernel = ops::attention_kernels().back();
  const auto through = [&](std::vector<float> x) {
    test::PagedCache pages(KvFormat::fp8, row, 1);
    write_row(pages.cache, pages.cache.row_of(0, 0), x.data());
    return read(pages, kernel, 0, 0, 1);
  };
  CHECK(through({0, 0, 896, -448}) == std::vector<float>{0, 0, 896, -448});
  CHECK(through({1e-44f, 0, -3e38f, 0})[0] == 0);
  CHECK(through({1e-44f, 0, -3e38f, 0})[2] == Approx(-3e38f));
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    const auto out = through({1, bad, 1, 1});
    CHECK(std::isnan(out[1]));
    CHECK(out[2] == 1);
    CHECK(out[3] == 1);
  }
}

TEST_CASE("kv pages: an f32 cache is read where it lies") {
  const test::PagedCache pages(KvFormat::f32, odd_row, 2);
  const auto rows = ops::read_rows({.cache = &pages.cache, .page = 1, .token = 3, .number = 20});
  CHECK(reinterpret_cast<const std::byte*>(rows.data) == pages.cache.row_of(1, 3) + 80);
  CHECK(rows.stride == odd_row.numbers());
}
