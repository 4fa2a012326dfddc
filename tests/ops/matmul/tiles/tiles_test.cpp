// Kernels over tiles: every format on emulated tiles, and on those that this CPU has: AMX, and what
// AVX-512 BF16 makes of them.
// covers: tile_kernel
#include "ops/matmul/tiles/tiles.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "catch.hpp"
#include "ops/matmul/layout_x16.hpp"
#include "ops/matmul/matrices.hpp"
#include "support/emulated/emulated_amx.hpp"

using namespace ktx_test;
using ops::ActivationFormat;

namespace {

std::vector<const ops::MatmulKernel*> tile_kernels() {
  std::vector<const ops::MatmulKernel*> usable;
  const auto isa = ktx::hw::usable_isa();
  for (const auto* kernel :
       {&ktx::test::emulated_amx_kernel(), &ktx::test::emulated_amx_bf16_kernel()})
    if (kernel->isa <= isa) usable.push_back(kernel);
  for (const auto& kernel : ops::matmul_kernels())
    if (kernel.least_tile_tokens > 0 && kernel.isa <= isa) usable.push_back(&kernel);
  return usable;
}

ActivationFormat tiles_of(const ops::MatmulKernel& kernel, Format format, int64_t cols) {
  const auto x16 = ops::x16_format(format);
  if (!x16 || !kernel.refusal(format, 16, cols).empty()) return ActivationFormat::f32;
  const auto to = ops::activation_for(kernel, format, cols, 1000);
  return ops::is_tiles(to) ? to : ActivationFormat::f32;
}

/// y [tokens, rows of the range] of x [tokens, cols].
std::vector<float> multiply(const ops::MatmulKernel& kernel, const Matrix& w,
                            const std::vector<float>& x, int64_t begin, int64_t end) {
  const auto to = tiles_of(kernel, w.format, w.cols);
  const auto tokens = static_cast<int64_t>(x.size()) / w.cols;
  const auto packed = w.pack(kernel.layout(w.format));
  const int64_t blocks = ops::parts_of(tokens, ops::tile_tokens);
  ktx::base::Buffer tiles(static_cast<size_t>(ops::tile_bytes_of(to, w.cols, tokens)));
  std::fill_n(tiles.as<uint8_t>(), tiles.size(), uint8_t{0x7f});  // packing must write all of them
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t token = b * ops::tile_tokens;
    for (int64_t col = 0; col < w.cols; col += ops::int8_chunk)
      kernel.pack_tiles(to, {.x = x.data() + token * w.cols + col,
                             .x_stride = w.cols,
                             .tokens = std::min(ops::tile_tokens, tokens - token),
                             .col = col,
                             .cols = std::min(ops::int8_chunk, w.cols - col),
                             .tiles = tiles.as<uint8_t>(),
                             .block = b,
                             .blocks = blocks});
  }
  constexpr float guard = 12345.0f;
  const int64_t stride = end - begin + 3;
  std::vector<float> y(static_cast<size_t>(tokens * stride), guard);
  kernel.run({.weights = packed.data(),
              .format = w.format,
              .rows = w.rows,
              .cols = w.cols,
              .row_begin = begin,
              .row_end = end,
              .x = {.format = to, .data = tiles.data(), .tokens = tokens},
              .y = y.data(),
              .y_stride = stride});
  std::vector<float> dense;
  for (int64_t t = 0; t < tokens; ++t) {
    const auto row = y.begin() + t * stride;
    dense.insert(dense.end(), row, row + end - begin);
    REQUIRE(std::all_of(row + end - begin, row + stride, [](float v) { return v == guard; }));
  }
  return dense;
}

double largest(const float* v, int64_t count) {
  double most = 0;
  for (int64_t i = 0; i < count; ++i) most = std::max(most, std::fabs(double{v[i]}));
  return most;
}

/// The step in which int8 tiles hold weights of a chunk: of what the format's codes can say at
/// most, of which there are 96 each way for codes of 2 bits, 112 for 3 and 120 or more for others.
/// That is up to 4/3 of what random ones do say, and twice as much for mxfp4, whose codes are of
/// 16 and mean up to 12, or up to 8 in a block without these. Rows of int8 are exact.
double weight_step(Format format, const float* w, int64_t cols) {
  if (format == Format::int8) return 0;
  const double steps = format == Format::q2_k ? 95.5 : format == Format::q3_k ? 111.5 : 119.5;
  return largest(w, cols) * (format == Format::mxfp4 ? 2.0 : 4.0 / 3) / steps;
}

/// How far a product may be from that in double. bf16: x and w stray by up to 2^-8 of themselves
/// each, independently, so that sums of many are within 2^-8 of the norms but for one in millions.
/// int8: x strays by up to half a step, with a variance of 1/12 of its square, and w by up to one,
/// 1/6: seven deviations of their sum.
double allowed(ActivationFormat to, Format format, const float* x, const float* w, int64_t cols) {
  const double norms = norm(w, cols) * norm(x, cols);
  if (to == ActivationFormat::bf16_tiles) return norms / 256 + 1e-30;
  double variance = 0;
  for (int64_t chunk = 0; chunk < cols; chunk += ops::int8_chunk) {
    const int64_t count = std::min(ops::int8_chunk, cols - chunk);
    const double x_step = largest(x + chunk, count) / 127;
    const double of_x = x_step * norm(w + chunk, count);
    const double of_w = weight_step(format, w + chunk, count) * norm(x + chunk, count);
    variance += of_x * of_x / 12 + of_w * of_w / 6;
  }
  return 7 * std::sqrt(variance) + norms * 1e-5;
}

void check(const ops::MatmulKernel& kernel, Format format, int64_t rows, int64_t cols,
           int64_t tokens, Random& random) {
  const auto to = tiles_of(kernel, format, cols);
  if (to == ActivationFormat::f32) return;
  INFO(kernel.name << " " << quant::name(format) << " " << rows << " x " << cols << ", " << tokens
                   << " tokens");
  const Matrix w(format, rows, cols, random);
  const auto x = random.normals(tokens * cols);
  const int64_t begin = random.below(static_cast<int>((rows + 15) / 16)) * 16;
  const auto y = multiply(kernel, w, x, begin, rows);
  double worst = 0;  // error as a fraction of what is allowed
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t r = begin; r < rows; ++r) {
      const float* row = x.data() + t * cols;
      const double got = y[static_cast<size_t>(t * (rows - begin) + r - begin)];
      REQUIRE(std::isfinite(got));
      worst = std::max(worst, std::fabs(got - dot(row, w.row(r), cols)) /
                                  allowed(to, format, row, w.row(r), cols));
    }
  REQUIRE(worst <= 1);
}

}  // namespace

TEST_CASE("products on tiles of every format, for any number of tokens") {
  Random random(5);
  for (const auto* kernel : tile_kernels())
    for (const auto& info : quant::formats())
      for (const int64_t tokens : {1, 9, 16, 17, 32, 33, 64, 100, 300}) {
        const auto x16 = ops::x16_format(info.format);
        const int64_t step = x16 ? std::max<int64_t>(64, ops::x16_columns(*x16)) : 256;
        const int64_t most = (tokens > 64 ? 600 : 1300) / step;
        const int64_t cols = step * (1 + random.below(static_cast<int>(most)));
        check(*kernel, info.format, 1 + random.below(tokens > 64 ? 150 : 300), cols, tokens,
              random);
      }
}

TEST_CASE("long rows, and more tokens than a panel takes at once") {
  Random random(6);
  constexpr int64_t panel_tokens = ops::int8_panel_sums / ops::row_group;  // of the fewest rows
  for (const auto* kernel : tile_kernels())
    for (const Format format : {Format::q4_k, Format::fp8, Format::int8}) {
      check(*kernel, format, 40, 7168, 20, random);
      check(*kernel, format, 20, 256, panel_tokens + 100, random);
      check(*kernel, format, 600, 256, 250, random);
    }
}

/// What a kernel makes of every single weight, [rows, cols].
std::vector<float> weights_on_tiles(const ops::MatmulKernel& kernel, const Matrix& w) {
  const auto cols = static_cast<size_t>(w.cols), rows = static_cast<size_t>(w.rows);
  std::vector<float> unit(cols * cols), weights(rows * cols);
  for (size_t c = 0; c < cols; ++c) unit[c * cols + c] = 127;
  const auto y = multiply(kernel, w, unit, 0, w.rows);
  for (size_t c = 0; c < cols; ++c)
    for (size_t r = 0; r < rows; ++r) weights[r * cols + c] = y[c * rows + r] / 127;
  return weights;
}

TEST_CASE("every single weight reaches the tiles: bf16 within 1.3 / 256, int8 within one step") {
  Random random(7);
  for (const auto* kernel : tile_kernels())
    for (const auto& info : quant::formats()) {
      constexpr int64_t cols = 512, rows = 36;
      const auto to = tiles_of(*kernel, info.format, cols);
      if (to == ActivationFormat::f32) continue;
      INFO(kernel->name << " " << info.name);
      const Matrix w(info.format, rows, cols, random);
      const auto got = weights_on_tiles(*kernel, w);
      double worst = 0;
      for (int64_t i = 0; i < rows * cols; ++i) {
        const float* chunk = w.values.data() + i / ops::int8_chunk * ops::int8_chunk;
        const double weight = w.values[static_cast<size_t>(i)];
        // truncation_offset in x86_tile_decode.hpp says why 1.3.
        const double stray = to == ActivationFormat::bf16_tiles
                                 ? std::fabs(weight) * 1.3 / 256
                                 : weight_step(info.format, chunk, ops::int8_chunk);
        // Scale and minimum of a code are combined in f32, in another order than the codec's.
        const double most = stray + largest(w.row(i / cols), cols) * 3e-6;
        worst = std::max(worst, std::fabs(got[static_cast<size_t>(i)] - weight) / most);
      }
      REQUIRE(worst <= 1);
    }
}

TEST_CASE("int8 tiles: zero points stay zero, and weights stray to both sides alike") {
  const auto& kernel = ktx::test::emulated_amx_kernel();
  if (kernel.isa > ktx::hw::usable_isa()) SKIP("no AVX-512 VBMI for emulated tiles");
  Random random(9);
  for (const auto& info : quant::formats()) {
    constexpr int64_t cols = 512, rows = 64;
    if (tiles_of(kernel, info.format, cols) != ActivationFormat::int8_tiles) continue;
    INFO(info.name);
    const Matrix w(info.format, rows, cols, random);
    const auto got = weights_on_tiles(kernel, w);
    const bool has_minimum = std::ranges::count(std::array{Format::q4_1, Format::q5_1, Format::q2_k,
                                                           Format::q4_k, Format::q5_k},
                                                info.format) > 0;
    double strays = 0;  // in steps
    for (size_t i = 0; i < got.size(); ++i) {
      if (w.values[i] == 0 && !has_minimum) REQUIRE(got[i] == 0);
      const auto chunk = static_cast<int64_t>(i) / ops::int8_chunk * ops::int8_chunk;
      const double step = weight_step(info.format, w.values.data() + chunk, ops::int8_chunk);
      if (step > 0) strays += (got[i] - w.values[i]) / step;
    }
    // What the ends of blocks stray by is one number for up to 128 weights: the mean of 256 of
    // these is within 0.29 / 16 but for one in three. (Scales that are powers of two have ends that
    // are fractions of one number, and no such mean.)
    if (info.format == Format::mxfp4) continue;
    REQUIRE(std::fabs(strays) / static_cast<double>(got.size()) <= 0.1);
  }
}

TEST_CASE("a scale that is no number makes its row none, and no other") {
  Random random(10);
  for (const auto* kernel : tile_kernels())
    for (const Format format : {Format::q8_0, Format::q4_k, Format::int4_64}) {
      if (tiles_of(*kernel, format, 512) == ActivationFormat::f32) continue;
      Matrix w(format, 16, 512, random);
      const uint16_t bad = 0x7fff;  // of f16 and bf16
      std::memcpy(w.bytes.data() + 5 * quant::row_bytes(format, 512), &bad, sizeof(bad));
      const auto y = multiply(*kernel, w, random.normals(512), 0, 16);
      for (size_t r = 0; r < 16; ++r) REQUIRE(std::isfinite(y[r]) == (r != 5));
    }
}

TEST_CASE("a NaN or infinity among the activations is not lost on tiles") {
  Random random(8);
  for (const auto* kernel : tile_kernels())
    for (const Format format : {Format::q4_k, Format::bf16, Format::int8})
      for (const float bad :
           {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        if (tiles_of(*kernel, format, 512) == ActivationFormat::f32) continue;
        const Matrix w(format, 16, 512, random);
        auto x = random.normals(512);
        x[77] = bad;
        const auto y = multiply(*kernel, w, x, 0, 16);
        for (const float value : y) REQUIRE_FALSE(std::isfinite(value));
      }
}

TEST_CASE("tiles are chosen for many tokens: int8 for integers, where that is not refused") {
  const auto& kernel = ktx::test::emulated_amx_kernel();
  const auto choice = [&](Format format, int64_t cols, int64_t tokens) {
    return ops::activation_for(kernel, format, cols, tokens);
  };
  REQUIRE(choice(Format::q4_k, 512, 8) == ActivationFormat::q8);
  REQUIRE(choice(Format::q4_k, 512, 9) == ActivationFormat::int8_tiles);
  REQUIRE(choice(Format::bf16, 512, 9) == ActivationFormat::bf16_tiles);
  REQUIRE(choice(Format::int8, 512, 9) == ActivationFormat::int8_tiles);
  REQUIRE(choice(Format::int8, 96, 9) == ActivationFormat::q8);  // no whole tiles
  REQUIRE(choice(Format::f32, 512, 100) == ActivationFormat::f32);
  REQUIRE(choice(Format::iq2_xs, 512, 100) == ActivationFormat::bf16_tiles);
  const auto& bf16 = ktx::test::emulated_amx_bf16_kernel();
  REQUIRE(ops::activation_for(bf16, Format::q4_k, 512, 9) == ActivationFormat::bf16_tiles);
  REQUIRE(ops::activation_for(bf16, Format::int8, 96, 9) == ActivationFormat::bf16_tiles);
  const auto& vnni = *ops::find_matmul_kernel("avx512_vnni");
  REQUIRE(ops::activation_for(vnni, Format::q4_k, 512, 100) == ActivationFormat::q8);
}

TEST_CASE("matrices that are no whole tiles wide do without tiles") {
  for (const auto* kernel : tile_kernels())
    for (const Format format : {Format::bf16, Format::f16, Format::int8})
      for (const int64_t cols : {34, 62, 96, 128}) {
        INFO(kernel->name << " " << quant::name(format) << " " << cols);
        if (format == Format::int8 && !kernel->refusal(format, 16, 512).empty()) continue;
        const bool int8 =
            ops::activation_for(*kernel, format, 512, 100) == ActivationFormat::int8_tiles;
        const bool whole = cols % (int8 ? 64 : 32) == 0;
        REQUIRE(ops::is_tiles(ops::activation_for(*kernel, format, cols, 100)) == whole);
      }
}
