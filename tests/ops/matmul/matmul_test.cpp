// Every format on every kernel this CPU can run, against products in double.
#include "ops/matmul/matmul.hpp"

#include <algorithm>
#include <numeric>

#include "catch.hpp"
#include "core/quant/blocks.hpp"
#include "ops/matmul/activation.hpp"
#include "ops/matmul/layout_x16.hpp"
#include "ops/matmul/matrices.hpp"

using namespace ktx_test;

namespace {

std::vector<const ops::MatmulKernel*> usable_kernels() {
  std::vector<const ops::MatmulKernel*> usable;
  for (const auto& kernel : ops::matmul_kernels())
    if (kernel.isa <= ktx::hw::usable_isa()) usable.push_back(&kernel);
  return usable;
}

int64_t column_step(const ops::MatmulKernel& kernel, Format format) {
  const auto x16 = ops::x16_format(format);
  if (kernel.layout(format) == ops::Layout::x16 && x16) return ops::x16_columns(*x16);
  const auto& info = quant::info(format);
  return info.block == 0 || info.partial ? 1 : info.block;
}

/// Prepared activations of `count` random rows, with what they stand for.
struct Inputs {
  Inputs(const ops::MatmulKernel& kernel, Format format, std::vector<float> x, int64_t width)
      : original(std::move(x)), cols(width) {
    const auto to = kernel.activation(format);
    count = static_cast<int64_t>(original.size()) / cols;
    row_bytes = ops::activation_row_bytes(to, cols);
    data = ktx::base::Buffer(static_cast<size_t>(std::max<int64_t>(64, count * row_bytes)));
    exact = original;
    for (int64_t t = 0; t < count; ++t) {
      std::byte* row = data.data() + t * row_bytes;
      kernel.prepare(to, original.data() + t * cols, cols, row);
      if (to == ops::ActivationFormat::q8) read_q8(row, t);
    }
    quantized = to == ops::ActivationFormat::q8;
  }

  void read_q8(const std::byte* row, int64_t t) {
    const auto* q = reinterpret_cast<const int8_t*>(row);
    const auto* scales = reinterpret_cast<const float*>(row + ops::q8_offsets(cols).scales);
    for (int64_t c = 0; c < cols; ++c) {
      exact[static_cast<size_t>(t * cols + c)] = scales[c / 32] * static_cast<float>(q[c]);
      half_steps.push_back(scales[c / 32] / 2);
    }
  }

  const float* exact_row(int64_t t) const { return exact.data() + t * cols; }

  std::vector<float> original, exact;  // [count, cols]; exact: what the prepared rows stand for
  std::vector<float> half_steps;       // [count, cols] of q8
  int64_t cols, count = 0, row_bytes = 0;
  bool quantized = false;
  ktx::base::Buffer data;
};

/// How far y may be from x . w in double. The sum of K rounded products strays like sqrt(K) steps
/// of 2^-24 of the norms; products with unsigned codes and mins are larger than the weights by a
/// factor of up to about 30 (code - 8, or - 128, of small weights), K / 32 sums of them are
/// rounded.
double rounding(const Inputs& x, const float* w, int64_t t) {
  const double norms = norm(w, x.cols) * norm(x.exact_row(t), x.cols);
  const auto k = static_cast<double>(x.cols);
  return norms * (x.quantized ? 1e-5 : 1e-6 * std::sqrt(k)) + 1e-30;
}

/// What quantizing the activations may add: half a step of each, times the weight.
double quantization(const Inputs& x, const float* w, int64_t t) {
  double sum = 0;
  for (int64_t c = 0; x.quantized && c < x.cols; ++c)
    sum += std::fabs(static_cast<double>(w[c])) * x.half_steps[static_cast<size_t>(t * x.cols + c)];
  return sum * 1.0001;
}

struct Case {
  int64_t rows, cols, tokens;
};

/// Runs rows [row_begin, row_end) into a guarded block and compares everything.
void check(const ops::MatmulKernel& kernel, Format format, const Case& shape, Random& random) {
  INFO(kernel.name << " " << quant::name(format) << " rows " << shape.rows << " cols " << shape.cols
                   << " tokens " << shape.tokens);
  const Matrix w(format, shape.rows, shape.cols, random);
  const auto packed = w.pack(kernel.layout(format));
  const Inputs x(kernel, format, random.normals((shape.tokens + 3) * shape.cols), shape.cols);
  std::vector<int32_t> gather(static_cast<size_t>(shape.tokens));
  for (auto& row : gather) row = random.below(static_cast<int>(shape.tokens) + 3);
  const bool gathered = random.below(2) == 1;
  const int64_t groups = (shape.rows + 15) / 16;
  const int64_t begin = random.below(static_cast<int>(groups)) * 16;
  const int64_t end = random.below(2) == 1 ? shape.rows : std::min(begin + 32, shape.rows);

  constexpr float guard = 12345.0f;
  const int64_t stride = end - begin + 5;
  std::vector<float> y(static_cast<size_t>(shape.tokens * stride + 32), guard);
  kernel.run({.weights = packed.data(),
              .format = format,
              .rows = w.rows,
              .cols = w.cols,
              .row_begin = begin,
              .row_end = end,
              .x = {.data = x.data.data(),
                    .row_bytes = x.row_bytes,
                    .rows = gathered ? gather.data() : nullptr,
                    .tokens = shape.tokens},
              .y = y.data() + 16,
              .y_stride = stride,
              .next = random.below(2) == 1 ? packed.data() : nullptr});  // a hint, no more

  double worst = 0, worst_total = 0;  // errors as fractions of what is allowed
  for (int64_t t = 0; t < shape.tokens; ++t) {
    const int64_t from = gathered ? gather[static_cast<size_t>(t)] : t;
    for (int64_t r = begin; r < end; ++r) {
      const double got = y[static_cast<size_t>(16 + t * stride + r - begin)];
      const double allowed = rounding(x, w.row(r), from);
      const double exact = dot(x.exact_row(from), w.row(r), w.cols);
      const double wanted = dot(x.original.data() + from * w.cols, w.row(r), w.cols);
      REQUIRE(std::isfinite(got));
      worst = std::max(worst, std::fabs(got - exact) / allowed);
      worst_total = std::max(worst_total,
                             std::fabs(got - wanted) / (allowed + quantization(x, w.row(r), from)));
    }
    for (int64_t i = end - begin; i < stride; ++i)
      REQUIRE(y[static_cast<size_t>(16 + t * stride + i)] == guard);
  }
  REQUIRE(worst <= 1);
  REQUIRE(worst_total <= 1);
  for (size_t i = 0; i < 16; ++i) {
    REQUIRE(y[i] == guard);
    REQUIRE(y[y.size() - 16 + i] == guard);
  }
}

/// Whether a plan may choose the kernel for the format: that of floats runs the others too, but
/// leaves them to the kernels after it.
bool takes(const ops::MatmulKernel& kernel, Format format) {
  return kernel.name != "avx512_bf16" || format == Format::f16 || format == Format::bf16 ||
         format == Format::fp8;
}

}  // namespace

TEST_CASE("every format runs on every kernel within the rounding of its operands") {
  Random random(1);
  for (const auto* kernel : usable_kernels()) {
    for (const auto& info : quant::formats()) {
      const int64_t step = column_step(*kernel, info.format);
      for (const int64_t tokens : {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 40}) {
        const int64_t rows = 1 + random.below(50);
        const int64_t cols =
            step * (1 + random.below(static_cast<int>(std::max<int64_t>(2, 768 / step))));
        REQUIRE(kernel->refusal(info.format, rows, cols).empty() == takes(*kernel, info.format));
        check(*kernel, info.format, {rows, cols, tokens}, random);
      }
    }
  }
}

TEST_CASE("every kernel takes the formats that it is for, whatever the machine") {
  for (const auto& kernel : ops::matmul_kernels())
    for (const auto& info : quant::formats())
      REQUIRE(kernel.refusal(info.format, 64, 512).empty() == takes(kernel, info.format));
}

TEST_CASE("any number of tokens around those that kernels multiply at once") {
  Random random(5);
  for (const auto* kernel : usable_kernels())
    for (const Format format :
         {Format::q2_k, Format::q4_1, Format::q4_k, Format::q6_k, Format::int8, Format::int4_64,
          Format::iq1_s, Format::iq1_m, Format::iq2_xs, Format::iq3_xxs})
      for (const int64_t tokens : {8, 9, 11, 12, 13, 19, 64, 65})
        for (const int64_t rows : {16, 40, 77})
          check(*kernel, format, {rows, format == Format::int4_64 ? 320 : 512, tokens}, random);
}

TEST_CASE("many tokens and long rows") {
  Random random(2);
  for (const auto* kernel : usable_kernels()) {
    for (const Format format : {Format::bf16, Format::q4_k, Format::int8, Format::iq3_s}) {
      check(*kernel, format, {33, 512, 300}, random);
      check(*kernel, format, {17, 7168, 3}, random);
    }
  }
}

TEST_CASE("packing keeps every single weight") {
  Random random(3);
  for (const auto* kernel : usable_kernels()) {
    for (const auto& info : quant::formats()) {
      const int64_t step = column_step(*kernel, info.format);
      const int64_t cols = step * std::max<int64_t>(1, 512 / step), rows = 20;
      INFO(kernel->name << " " << info.name);
      const Matrix w(info.format, rows, cols, random);
      const auto packed = w.pack(kernel->layout(info.format));
      std::vector<float> unit(static_cast<size_t>(cols * cols));
      for (int64_t c = 0; c < cols; ++c) unit[static_cast<size_t>(c * cols + c)] = 1;
      const Inputs x(*kernel, info.format, unit, cols);
      std::vector<float> y(static_cast<size_t>(cols * rows));
      kernel->run({.weights = packed.data(),
                   .format = info.format,
                   .rows = rows,
                   .cols = cols,
                   .row_begin = 0,
                   .row_end = rows,
                   .x = {.data = x.data.data(), .row_bytes = x.row_bytes, .tokens = cols},
                   .y = y.data(),
                   .y_stride = rows});
      double worst = 0;
      for (int64_t r = 0; r < rows; ++r) {
        double largest = 0;
        for (int64_t c = 0; c < cols; ++c)
          largest = std::max(largest, std::fabs(double(w.row(r)[c])));
        for (int64_t c = 0; c < cols; ++c)
          worst = std::max(worst, std::fabs(y[static_cast<size_t>(c * rows + r)] - w.row(r)[c]) /
                                      (largest + 1e-30));
      }
      REQUIRE(worst <= 1e-5);
    }
  }
}

TEST_CASE("a NaN or infinity among the activations is not lost, nor passed to other tokens") {
  Random random(4);
  for (const auto* kernel : usable_kernels())
    for (const Format format : {Format::bf16, Format::q2_k, Format::q4_1, Format::q4_k,
                                Format::q6_k, Format::int8, Format::iq1_s, Format::iq2_xxs})
      for (const float bad : {NAN, INFINITY})
        for (const int64_t tokens : {1, 12}) {
          const Matrix w(format, 16, 512, random);
          const auto packed = w.pack(kernel->layout(format));
          auto values = random.normals(tokens * 512);
          values[77] = bad;
          const Inputs x(*kernel, format, values, 512);
          std::vector<float> y(static_cast<size_t>(16 * tokens));
          kernel->run({.weights = packed.data(),
                       .format = format,
                       .rows = 16,
                       .cols = 512,
                       .row_begin = 0,
                       .row_end = 16,
                       .x = {.data = x.data.data(), .row_bytes = x.row_bytes, .tokens = tokens},
                       .y = y.data(),
                       .y_stride = 16});
          for (size_t i = 0; i < y.size(); ++i) REQUIRE(std::isfinite(y[i]) == (i >= 16));
        }
}

TEST_CASE("one fp8 code of NaN makes its row's products NaN, and no other's") {
  Random random(5);
  constexpr size_t rows = 20, cols = 256, bad_row = 7;
  for (const auto* kernel : usable_kernels())
    for (const auto code : {std::byte{0x7f}, std::byte{0xff}})
      for (const int64_t tokens : {1, 12}) {
        INFO(kernel->name << " tokens " << tokens);
        Matrix w(Format::fp8, rows, cols, random);
        w.bytes[bad_row * 2 * sizeof(quant::BlockFp8) + sizeof(float) + 100] = code;
        const auto packed = w.pack(kernel->layout(Format::fp8));
        const Inputs x(*kernel, Format::fp8, random.normals(tokens * cols), cols);
        std::vector<float> y(rows * static_cast<size_t>(tokens));
        kernel->run({.weights = packed.data(),
                     .format = Format::fp8,
                     .rows = rows,
                     .cols = cols,
                     .row_begin = 0,
                     .row_end = rows,
                     .x = {.data = x.data.data(), .row_bytes = x.row_bytes, .tokens = tokens},
                     .y = y.data(),
                     .y_stride = rows});
        for (size_t i = 0; i < y.size(); ++i) REQUIRE(std::isnan(y[i]) == (i % rows == bad_row));
      }
}

TEST_CASE("tokens of zeros, whole or in part, have no scale to divide by") {
  Random random(6);
  for (const auto* kernel : usable_kernels())
    for (const Format format : {Format::q4_k, Format::q6_k, Format::q8_0, Format::int8}) {
      INFO(kernel->name << " " << quant::name(format));
      constexpr int64_t cols = 512, rows = 32, tokens = 10;
      const Matrix w(format, rows, cols, random);
      const auto packed = w.pack(kernel->layout(format));
      std::vector<float> values(tokens * cols);
      for (size_t t = 1; t < tokens; t += 2) values[t * cols + 300] = 127;  // one number
      const Inputs x(*kernel, format, values, cols);
      std::vector<float> y(tokens * rows);
      kernel->run({.weights = packed.data(),
                   .format = format,
                   .rows = rows,
                   .cols = cols,
                   .row_begin = 0,
                   .row_end = rows,
                   .x = {.data = x.data.data(), .row_bytes = x.row_bytes, .tokens = tokens},
                   .y = y.data(),
                   .y_stride = rows});
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t r = 0; r < rows; ++r) {
          const double wanted = t % 2 == 1 ? 127.0 * w.row(r)[300] : 0;
          const double allowed = t % 2 == 1 ? 127 * 1e-5 * norm(w.row(r), cols) : 0;
          REQUIRE(std::fabs(y[static_cast<size_t>(t * rows + r)] - wanted) <= allowed);
        }
    }
}

TEST_CASE("the table is best first and look-ups find its rows") {
  const auto kernels = ops::matmul_kernels();
  for (size_t i = 1; i < kernels.size(); ++i) REQUIRE(kernels[i].isa < kernels[i - 1].isa);
  REQUIRE(kernels.back().name == "ref");
  REQUIRE(ops::find_matmul_kernel("avx2")->name == "avx2");
  REQUIRE(ops::find_matmul_kernel("avx3") == nullptr);
  using ktx::hw::Isa;
  REQUIRE(ops::best_matmul_kernel(Isa::amx_int8, Format::q4_k, 32, 256).name == "amx");
  REQUIRE(ops::best_matmul_kernel(Isa::avx512, Format::q4_k, 32, 256).name == "avx512");
  REQUIRE(ops::best_matmul_kernel(Isa::scalar, Format::q4_k, 32, 256).name == "ref");
  REQUIRE(ops::best_matmul_kernel(Isa::avx512, Format::int8, 32, 100).name == "ref");
  REQUIRE(ops::find_matmul_kernel("avx2")->refusal(Format::int8, 32, 100) ==
          "needs columns in multiples of 32 for int8, not 100");
}
