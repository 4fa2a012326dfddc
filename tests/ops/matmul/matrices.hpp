// Random matrices of every format and products in double: what the tests of matrix products share.
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "core/base/buffer.hpp"
#include "core/quant/half.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx_test {

namespace ops = ktx::ops;
namespace quant = ktx::quant;
using quant::Format;

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  int below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(engine_); }
  float normal() { return std::normal_distribution<float>()(engine_); }
  std::vector<float> normals(int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = normal();
    return values;
  }

 private:
  std::mt19937 engine_;
};

/// Where the 16-bit scales of a format lie in a block; they must be finite in random blocks.
inline std::vector<int> scale_offsets(Format format) {
  switch (format) {
    case Format::q2_k:
      return {80, 82};
    case Format::q3_k:
      return {108};
    case Format::q4_1:
    case Format::q5_1:
    case Format::q4_k:
    case Format::q5_k:
      return {0, 2};
    case Format::q6_k:
      return {208};
    case Format::iq1_m:
    case Format::mxfp4:
      return {};
    default:
      return {0};
  }
}

/// A row of random valid bytes: every code may occur, scales are around 1/64 and of either sign.
inline void random_row(Format format, int64_t cols, std::byte* row, Random& random) {
  const auto& info = quant::info(format);
  const int64_t bytes = quant::row_bytes(format, cols);
  if (format <= Format::bf16) return info.encode(random.normals(cols).data(), row, cols);
  for (int64_t i = 0; i < bytes; ++i) row[i] = static_cast<std::byte>(random.below(256));
  const auto scale = [&] { return random.normal() / 64; };
  if (format == Format::fp8 || format == Format::int8) {
    const int64_t step = format == Format::int8 ? bytes : info.block_bytes;
    for (int64_t at = 0; at < bytes; at += step) {
      for (int64_t i = at; i < std::min(at + step, bytes); ++i)  // no NaN
        if (format == Format::fp8 && (row[i] & std::byte{0x7f}) == std::byte{0x7f})
          row[i] ^= std::byte{8};
      const float value = scale();
      std::memcpy(row + at, &value, sizeof(value));
    }
    return;
  }
  const bool bf16 = format >= Format::int8_32;
  for (int64_t at = 0; at < bytes; at += info.block_bytes) {
    for (const int offset : scale_offsets(format)) {
      const uint16_t bits = bf16 ? quant::f32_to_bf16(scale()) : quant::f32_to_f16(scale());
      std::memcpy(row + at + offset, &bits, sizeof(bits));
    }
    if (format == Format::iq1_m)  // its f16 scale is spread over the top nibbles: keep it finite
      row[at + 55] = (row[at + 55] & std::byte{0x0f}) | std::byte{0x20};
    if (format == Format::mxfp4) row[at] = static_cast<std::byte>(119 + random.below(5));
  }
}

/// A matrix in its format's own layout, its exact numbers, and the packed form.
struct Matrix {
  Matrix(Format of, int64_t row_count, int64_t col_count, Random& random)
      : format(of), rows(row_count), cols(col_count) {
    const int64_t row_bytes = quant::row_bytes(format, cols);
    bytes.resize(static_cast<size_t>(rows * row_bytes));
    values.resize(static_cast<size_t>(rows * cols));
    for (int64_t r = 0; r < rows; ++r) {
      random_row(format, cols, bytes.data() + r * row_bytes, random);
      quant::info(format).decode(bytes.data() + r * row_bytes, values.data() + r * cols, cols);
    }
  }

  /// Packed in two ranges, as two threads would.
  ktx::base::Buffer pack(ops::Layout layout) const {
    ktx::base::Buffer packed(static_cast<size_t>(ops::packed_bytes(layout, format, rows, cols)));
    const int64_t cut = rows / 2 / ops::row_group * ops::row_group;
    for (const auto& [begin, end] : {std::pair{cut, rows}, std::pair{int64_t{0}, cut}})
      ops::pack_matrix({.layout = layout,
                        .format = format,
                        .rows = rows,
                        .cols = cols,
                        .row_begin = begin,
                        .row_end = end,
                        .src = bytes.data() + begin * quant::row_bytes(format, cols),
                        .dst = packed.data()});
    return packed;
  }

  const float* row(int64_t r) const { return values.data() + r * cols; }

  Format format;
  int64_t rows, cols;
  std::vector<std::byte> bytes;
  std::vector<float> values;  // [rows, cols]
};

/// A random matrix packed for one kernel, which runs it whatever the number of tokens.
struct PackedRandom {
  PackedRandom(const ops::MatmulKernel& kernel, Format format, int64_t rows, int64_t cols,
               Random& random)
      : matrix(format, rows, cols, random),
        packed(matrix.pack(kernel.layout(format))),
        w{.data = packed.data(),
          .format = format,
          .rows = rows,
          .cols = cols,
          .decode = &kernel,
          .prefill = &kernel} {}

  Matrix matrix;
  ktx::base::Buffer packed;
  ops::PackedMatrix w;
};

inline double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

inline double norm(const float* a, int64_t n) {
  return std::sqrt(dot(a, a, n));
}

}  // namespace ktx_test
