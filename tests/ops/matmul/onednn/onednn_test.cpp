// Products over panels by oneDNN: every format that has them, against products in double.
// covers: onednn_kernel
#include "ops/matmul/onednn/onednn.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "catch.hpp"
#include "core/hw/isa.hpp"
#include "core/hw/worker_pool.hpp"
#include "ops/linear/linear.hpp"
#include "ops/matmul/layout_x16.hpp"
#include "ops/matmul/matrices.hpp"
#include "ops/matmul/onednn/onednn_kernel.hpp"
#include "ops/matmul/onednn/onednn_panels.hpp"

using namespace ktx_test;
using ktx::hw::Isa;
using ops::PanelType;

namespace {

constexpr Format formats[] = {Format::f32, Format::f16, Format::bf16, Format::fp8, Format::int8};

/// Why nothing here can be tested; empty: it can.
std::string refusal_here() {
  const auto reason = ops::onednn_refusal(PanelType::f32, 64);
  if (!reason.empty()) return reason;
  return ktx::hw::usable_isa() >= Isa::avx512_vnni ? "" : "this CPU has no AVX-512 VNNI";
}

/// Decode by the same kernel, as bench runs it.
struct Layer : PackedRandom {
  Layer(Format format, int64_t rows, int64_t cols, Random& random)
      : PackedRandom(ops::onednn_kernel(), format, rows, cols, random) {
    REQUIRE(ops::onednn_kernel().refusal(format, rows, cols).empty());
  }
};

constexpr float guard = 12345.0f;

/// y [tokens, rows + 3]: the last columns stay as they are.
std::vector<float> run(const Layer& layer, const std::vector<float>& x, int threads) {
  const int64_t tokens = static_cast<int64_t>(x.size()) / layer.w.cols, stride = layer.w.rows + 3;
  ktx::hw::WorkerPool pool(threads);
  std::vector<float> y(static_cast<size_t>(tokens * stride), guard);
  ktx::base::Buffer scratch(
      static_cast<size_t>(std::max<int64_t>(ops::linear_scratch_bytes(layer.w, tokens), 64)));
  ops::linear({.x = x.data(),
               .x_stride = layer.w.cols,
               .tokens = tokens,
               .w = &layer.w,
               .y = y.data(),
               .y_stride = stride,
               .scratch = scratch.data()},
              pool);
  return y;
}

/// What quantizing x to int8 may add to a product with w: half a step of each number, which is the
/// largest of its chunk (a few tokens: of 32) / 254, times the weight.
double quantization(const float* x, const float* w, int64_t cols, int64_t chunk) {
  double sum = 0;
  for (int64_t begin = 0; begin < cols; begin += chunk) {
    double most = 0, weights = 0;
    for (int64_t c = begin; c < std::min(begin + chunk, cols); ++c) {
      most = std::max(most, std::fabs(double(x[c])));
      weights += std::fabs(double(w[c]));
    }
    sum += most / 254 * weights;
  }
  return sum * 1.0001;
}

void check(const Layer& layer, const std::vector<float>& x, const std::vector<float>& y) {
  const int64_t cols = layer.w.cols, rows = layer.w.rows;
  const int64_t tokens = static_cast<int64_t>(x.size()) / cols;
  const int64_t chunk = tokens <= ops::decode_tokens ? 32 : ops::panel_chunk;
  double worst = 0;  // as a fraction of what is allowed
  for (int64_t t = 0; t < tokens; ++t) {
    const float* row = x.data() + t * cols;
    const float* got = y.data() + t * (rows + 3);
    for (int64_t r = 0; r < rows; ++r) {
      const float* w = layer.matrix.row(r);
      // Sums of K rounded products stray like sqrt(K) steps of 2^-24 of the norms. int8: exact but
      // for a rounding each chunk, which the quantization below covers many times.
      double allowed = 1e-6 * std::sqrt(double(cols)) * norm(row, cols) * norm(w, cols) + 1e-30;
      if (layer.w.format == Format::int8) allowed += quantization(row, w, cols, chunk);
      REQUIRE(std::isfinite(got[r]));
      worst = std::max(worst, std::fabs(dot(row, w, cols) - got[r]) / allowed);
    }
    for (int64_t i = rows; i < rows + 3; ++i) REQUIRE(got[i] == guard);
  }
  REQUIRE(worst <= 1);
}

size_t threads_of_process() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<size_t>(std::distance(begin(tasks), end(tasks)));
}

}  // namespace

TEST_CASE("linear.onednn equals x W^T for every format, shape and number of tokens") {
  if (const auto reason = refusal_here(); !reason.empty()) SKIP(reason);
  Random random(1);
  for (const Format format : formats) {
    const int64_t step = ops::x16_columns(*ops::x16_format(format));
    for (const int64_t tokens : {1, 8, 9, 16, 17, 40, 127, 128, 129, 300}) {
      const int64_t rows = 1 + random.below(200);
      const int64_t cols = step * (1 + random.below(static_cast<int>(2500 / step)));
      INFO(quant::name(format) << " rows " << rows << " cols " << cols << " tokens " << tokens);
      const Layer layer(format, rows, cols, random);
      const auto x = random.normals(tokens * cols);
      const auto y = run(layer, x, 1);
      check(layer, x, y);
      REQUIRE(run(layer, x, 2) == y);
      REQUIRE(run(layer, x, 5) == y);
    }
  }
}

TEST_CASE("linear.onednn runs on the pool's threads alone") {
  if (const auto reason = refusal_here(); !reason.empty()) SKIP(reason);
  Random random(2);
  const Layer layer(Format::int8, 512, 1024, random);
  const auto x = random.normals(64 * 1024);
  run(layer, x, 1);
  const size_t before = threads_of_process();
  size_t during = 0;
  ktx::hw::WorkerPool pool(2);
  pool.run([&](int worker) noexcept {
    alignas(64) static uint8_t in[16 * 1024] = {}, panel[1024 * 64] = {};
    alignas(64) int32_t out[16 * 64];
    ops::onednn_multiply({.type = PanelType::int8,
                          .tokens = 16,
                          .cols = 1024,
                          .x = in,
                          .panel = panel,
                          .products = out});
    if (worker == 0) during = threads_of_process();
  });
  REQUIRE(during == before + 1);
}

TEST_CASE("a NaN or infinity in a prompt is not lost") {
  if (const auto reason = refusal_here(); !reason.empty()) SKIP(reason);
  Random random(3);
  for (const Format format : formats)
    for (const float bad : {NAN, INFINITY}) {
      INFO(quant::name(format));
      const Layer layer(format, 16, 1152, random);
      auto x = random.normals(20 * 1152);
      x[3 * 1152 + 1100] = bad;
      const auto y = run(layer, x, 1);
      for (size_t i = 0; i < 16; ++i) {
        REQUIRE_FALSE(std::isfinite(y[3 * 19 + i]));
        REQUIRE(std::isfinite(y[4 * 19 + i]));
      }
    }
}

TEST_CASE("oneDNN and plain loops give the same products of a panel") {
  if (const auto reason = refusal_here(); !reason.empty()) SKIP(reason);
  Random random(4);
  for (const PanelType type : {PanelType::f32, PanelType::int8}) {
    const int64_t tokens = 48, cols = 192;
    const bool f32 = type == PanelType::f32;
    REQUIRE(ops::onednn_refusal(type, cols).empty());
    ktx::base::Buffer x(static_cast<size_t>(tokens * cols) * 4),
        panel(static_cast<size_t>(cols) * 64 * 4), fast(static_cast<size_t>(tokens) * 64 * 4),
        slow(fast.size());
    const auto fill = [&](ktx::base::Buffer& to) {
      for (size_t i = 0; i < to.size() / 4; ++i) {
        const float value = random.normal();
        const int word = random.below(1 << 30);
        f32 ? std::memcpy(to.data() + i * 4, &value, 4) : std::memcpy(to.data() + i * 4, &word, 4);
      }
    };
    fill(x);
    fill(panel);
    ops::PanelProduct product{.type = type,
                              .tokens = tokens,
                              .cols = cols,
                              .x = reinterpret_cast<const uint8_t*>(x.data()),
                              .panel = reinterpret_cast<const uint8_t*>(panel.data()),
                              .products = fast.data()};
    ops::onednn_multiply(product);
    product.products = slow.data();
    ops::multiply_plainly(product);
    if (!f32) REQUIRE(std::memcmp(fast.data(), slow.data(), fast.size()) == 0);
    const auto *a = reinterpret_cast<const float*>(fast.data()),
               *b = reinterpret_cast<const float*>(slow.data());
    // Sums of 192 products of normal numbers, as in check(): 1e-6 sqrt(192) * 192.
    for (int64_t i = 0; f32 && i < tokens * 64; ++i) REQUIRE(std::fabs(a[i] - b[i]) < 3e-3f);
  }
}

TEST_CASE("what has no panels is refused with the reason") {
  const auto& kernel = ops::onednn_kernel();
  REQUIRE(kernel.refusal(Format::q4_k, 64, 256) ==
          "multiplies by f32, f16, bf16, fp8 and int8, not by q4_k");
  REQUIRE(kernel.refusal(Format::int8, 64, 100) ==
          "needs columns in multiples of 32 for int8, not 100");
  const auto reason = kernel.refusal(Format::int8, 64, 128);
  REQUIRE((reason.empty() || reason == "built without oneDNN"));
  REQUIRE(ops::find_matmul_kernel("onednn") == &kernel);
  const auto& vnni = *ops::find_matmul_kernel("avx512_vnni");
  REQUIRE(&ops::best_linear_kernel(Isa::avx512_vnni, Format::int8, 64, 128) ==
          (reason.empty() ? &kernel : &vnni));
  REQUIRE(&ops::best_linear_kernel(Isa::avx512_vnni, Format::q4_k, 64, 256) == &vnni);
  REQUIRE(ops::best_linear_kernel(Isa::amx_int8, Format::int8, 64, 128).name == "amx");
  REQUIRE(ops::best_linear_kernel(Isa::avx2, Format::int8, 64, 128).name == "avx2");
  for (const auto& other : ops::matmul_kernels()) REQUIRE(other.name != "onednn");
}
