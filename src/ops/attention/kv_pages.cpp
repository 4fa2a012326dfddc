// Rows of a layer's cache: rounded to its format, and back to floats.
#include "ops/attention/kv_pages.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/quant/fp8.hpp"
#include "core/quant/half.hpp"

namespace ktx::ops {
namespace {

using graph::KvFormat;

constexpr float largest_e4m3 = 448;

void write_bf16(const float* x, int64_t n, std::byte* to) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    const uint16_t bits = quant::f32_to_bf16(x[i]);
    std::memcpy(to + 2 * i, &bits, 2);
  }
}

/// The scale of a group: its largest magnitude becomes the largest code.
float scale_of(const float* x, int64_t n) noexcept {
  float largest = 0;
  bool finite = true;
  for (int64_t i = 0; i < n; ++i) {
    finite = finite && std::isfinite(x[i]);
    largest = std::max(largest, std::abs(x[i]));
  }
  if (!finite) return std::numeric_limits<float>::quiet_NaN();
  const float scale = largest / largest_e4m3;
  return scale < std::numeric_limits<float>::min() ? 0 : scale;
}

/// Where an fp8 row holds the scale of a group, and its exact numbers.
std::byte* scale_at(const graph::KvRow& row, std::byte* bytes, int64_t group) noexcept {
  return bytes + row.scaled + 4 * group;
}
int64_t exact_at(const graph::KvRow& row) noexcept {
  return row.scaled + 4 * ((row.scaled + row.group - 1) / row.group);
}

void write_group(const float* x, int64_t n, std::byte* codes, std::byte* scale_to) noexcept {
  const float scale = scale_of(x, n);
  std::memcpy(scale_to, &scale, 4);
  for (int64_t i = 0; i < n; ++i)
    codes[i] = std::byte{scale > 0 ? quant::e4m3_code(x[i] / scale) : uint8_t{0}};
}

void read_fp8(const KvReadArgs& args, std::byte* bytes, float* to) noexcept {
  const graph::KvRow& row = args.cache->row;
  const int64_t end = args.number + args.numbers;
  int64_t at = args.number;
  while (at < std::min(end, row.scaled)) {
    const int64_t n = std::min(row.group, std::min(end, row.scaled) - at);
    float scale;
    std::memcpy(&scale, scale_at(row, bytes, at / row.group), 4);
    args.functions->from_e4m3(bytes + at, scale, to, n);
    at += n;
    to += n;
  }
  if (at < end)
    args.functions->from_bf16(bytes + exact_at(row) + 2 * (at - row.scaled), to, end - at);
}

}  // namespace

void write_numbers(const KvWriteArgs& args) noexcept {
  const graph::KvRow& row = args.cache->row;
  if (args.cache->format == KvFormat::f32) {
    std::memcpy(args.row + 4 * args.number, args.from, static_cast<size_t>(4 * args.numbers));
  } else if (args.cache->format == KvFormat::bf16) {
    write_bf16(args.from, args.numbers, args.row + 2 * args.number);
  } else if (args.number >= row.scaled) {
    write_bf16(args.from, args.numbers, args.row + exact_at(row) + 2 * (args.number - row.scaled));
  } else {
    for (int64_t i = 0; i < args.numbers; i += row.group) {
      const int64_t at = args.number + i;
      write_group(args.from + i, std::min(row.group, args.numbers - i), args.row + at,
                  scale_at(row, args.row, at / row.group));
    }
  }
}

FloatRows read_rows(const KvReadArgs& args) noexcept {
  const KvPages& cache = *args.cache;
  std::byte* first = cache.row_of(args.page, args.token);
  if (cache.format == KvFormat::f32)
    return {reinterpret_cast<const float*>(first) + args.number, cache.row.numbers()};
  for (int64_t t = 0; t < args.tokens; ++t) {
    std::byte* bytes = first + t * cache.row_bytes;
    float* to = args.scratch + t * args.numbers;
    if (cache.format == KvFormat::bf16)
      args.functions->from_bf16(bytes + 2 * args.number, to, args.numbers);
    else
      read_fp8(args, bytes, to);
  }
  return {args.scratch, args.numbers};
}

}  // namespace ktx::ops
