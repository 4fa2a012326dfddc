// Linear layers over pools of several sizes, alone and several at once.
#include "ops/linear/linear.hpp"

#include <algorithm>

#include "catch.hpp"
#include "ops/matmul/counting_kernel.hpp"
#include "ops/matmul/layout_x16.hpp"
#include "ops/matmul/matrices.hpp"
#include "ops/matmul/node_matrices.hpp"
#include "support/emulated/emulated_amx.hpp"

using namespace ktx_test;
using ktx::hw::WorkerPool;

namespace {

const ops::MatmulKernel& best(Format format, int64_t rows, int64_t cols) {
  return ops::best_matmul_kernel(ktx::hw::usable_isa(), format, rows, cols);
}

/// Packed for the best kernel.
struct Layer : PackedRandom {
  Layer(Format format, int64_t rows, int64_t cols, Random& random)
      : PackedRandom(best(format, rows, cols), format, rows, cols, random) {}
};

ktx::base::Buffer scratch_of(const std::vector<Layer>& layers, int64_t tokens) {
  std::vector<ops::PackedMatrix> matrices;
  for (const Layer& layer : layers) matrices.push_back(layer.w);
  const int64_t bytes = ops::linear_scratch_bytes(matrices, tokens);
  return ktx::base::Buffer(static_cast<size_t>(std::max<int64_t>(bytes, 64)));
}

/// Largest distance of y [tokens, rows] from x W^T + bias, in norms of the operands.
double distance(const Layer& layer, const std::vector<float>& x, const std::vector<float>& bias,
                const std::vector<float>& y) {
  const int64_t cols = layer.w.cols, rows = layer.w.rows;
  double worst = 0;
  for (int64_t t = 0; t < static_cast<int64_t>(x.size()) / cols; ++t) {
    for (int64_t r = 0; r < rows; ++r) {
      const double product = dot(x.data() + t * cols, layer.matrix.row(r), cols);
      const double offset = bias.empty() ? 0.0 : bias[static_cast<size_t>(r)];
      const double norms = norm(x.data() + t * cols, cols) * norm(layer.matrix.row(r), cols);
      worst = std::max(worst, std::fabs(product + offset - y[static_cast<size_t>(t * rows + r)]) /
                                  (norms + std::fabs(offset)));
    }
  }
  return worst;
}

std::vector<float> run(const Layer& layer, const std::vector<float>& x,
                       const std::vector<float>& bias, int threads) {
  const int64_t tokens = static_cast<int64_t>(x.size()) / layer.w.cols;
  WorkerPool pool(threads);
  std::vector<float> y(static_cast<size_t>(tokens * layer.w.rows));
  ktx::base::Buffer scratch(static_cast<size_t>(ops::linear_scratch_bytes(layer.w, tokens)) + 64);
  ops::linear({.x = x.data(),
               .x_stride = layer.w.cols,
               .tokens = tokens,
               .w = &layer.w,
               .bias = bias.empty() ? nullptr : bias.data(),
               .y = y.data(),
               .y_stride = layer.w.rows,
               .scratch = scratch.data()},
              pool);
  return y;
}

// Rounding to q8 is off by at most half a step, absmax / 254, a number: of random numbers within a
// block absmax is under 4 deviations, so the product is within 4 / 254 / sqrt(3) of the norms, and
// for dots of many random terms it is far less.
constexpr double q8_error = 0.01, f32_error = 1e-5;

}  // namespace

TEST_CASE("linear equals x W^T + bias with any number of threads, bit for bit the same") {
  Random random(1);
  for (const Format format : {Format::bf16, Format::q4_k, Format::q6_k, Format::iq2_xs}) {
    const Layer layer(format, 205, 768, random);
    const auto bias = random.normals(205);
    for (const int64_t tokens : {1, 8, 9, 70}) {
      INFO(quant::name(format) << " tokens " << tokens);
      const auto x = random.normals(tokens * 768);
      const auto y = run(layer, x, bias, 1);
      const auto read = ops::activation_for(*layer.w.prefill, format, 768, tokens);
      REQUIRE(distance(layer, x, bias, y) <=
              (read == ops::ActivationFormat::f32 ? f32_error : q8_error));
      for (const int threads : {2, 3, 5}) REQUIRE(run(layer, x, bias, threads) == y);
    }
  }
}

TEST_CASE("linear on tiles, with matrices that read x each in its own way") {
  const auto& kernel = ktx::test::emulated_amx_kernel();
  if (kernel.isa > ktx::hw::usable_isa()) SKIP("no AVX-512 VBMI for emulated tiles");
  Random random(5);
  std::vector<Layer> layers;
  for (const auto& [format, rows] : {std::pair{Format::q4_k, 100}, std::pair{Format::int8, 150},
                                     std::pair{Format::f32, 7}, std::pair{Format::iq2_s, 33}}) {
    layers.emplace_back(format, rows, 1536, random);
    layers.back().w.decode = layers.back().w.prefill = &kernel;
  }
  for (const int64_t tokens : {9, 50}) {
    const auto x = random.normals(tokens * 1536);
    ktx::base::Buffer scratch = scratch_of(layers, tokens);
    std::vector<std::vector<float>> y;
    std::vector<ops::LinearArgs> args;
    for (const Layer& layer : layers) {
      y.emplace_back(static_cast<size_t>(tokens * layer.w.rows));
      args.push_back({.x = x.data(),
                      .x_stride = 1536,
                      .tokens = tokens,
                      .w = &layer.w,
                      .y = y.back().data(),
                      .y_stride = layer.w.rows,
                      .scratch = scratch.data()});
    }
    WorkerPool pool(3);
    ops::linear_many(args, pool);
    for (size_t i = 0; i < layers.size(); ++i) {
      INFO(quant::name(layers[i].w.format) << " " << tokens << " tokens");
      REQUIRE(distance(layers[i], x, {}, y[i]) <= q8_error);
      REQUIRE(run(layers[i], x, {}, 1) == y[i]);
    }
  }
}

TEST_CASE("scratch holds x once for each way in which one of the matrices reads it") {
  const auto& amx = ktx::test::emulated_amx_kernel();
  const auto& amx_bf16 = ktx::test::emulated_amx_bf16_kernel();
  const auto& vnni = *ops::find_matmul_kernel("avx512_vnni");
  const auto& onednn = ops::onednn_kernel();
  const auto matrix = [&](Format format, const ops::MatmulKernel& prefill) {
    return ops::PackedMatrix{
        .format = format, .rows = 64, .cols = 1536, .decode = &vnni, .prefill = &prefill};
  };
  const auto bytes = [](std::vector<ops::PackedMatrix> all, int64_t tokens) {
    return ops::linear_scratch_bytes(all, tokens);
  };
  const auto q4 = matrix(Format::q4_k, amx), q6 = matrix(Format::q6_k, amx),
             in_bf16 = matrix(Format::q4_k, amx_bf16), bf16 = matrix(Format::bf16, onednn),
             q8 = matrix(Format::q8_0, vnni);
  for (const int64_t tokens : {9, 100, 512}) {
    CHECK(bytes({q4, q6}, tokens) == bytes({q4}, tokens));
    CHECK(bytes({q4, in_bf16, q8, bf16}, tokens) == bytes({q4}, tokens) + bytes({in_bf16}, tokens) +
                                                        bytes({q8}, tokens) +
                                                        bytes({bf16}, tokens));
    // Decode: both read q8.
    CHECK(bytes({q4, q8}, 8) == bytes({q8}, 8));
    CHECK(bytes({q4, q8}, tokens) >= bytes({q4, q8}, 8));
  }
}

TEST_CASE("the reference agrees with the formula") {
  Random random(2);
  const Layer layer(Format::q5_1, 9, 64, random);
  const auto x = random.normals(3 * 64), bias = random.normals(9);
  const ops::PackedMatrix rows{
      .data = layer.matrix.bytes.data(), .format = Format::q5_1, .rows = 9, .cols = 64};
  std::vector<float> y(27);
  ops::linear_ref({.x = x.data(),
                   .x_stride = 64,
                   .tokens = 3,
                   .w = &rows,
                   .bias = bias.data(),
                   .y = y.data(),
                   .y_stride = 9});
  REQUIRE(distance(layer, x, bias, y) <= 1e-6);
}

TEST_CASE("several matrices at once give what each gives alone") {
  Random random(3);
  std::vector<Layer> layers;
  for (const auto& [format, rows] : {std::pair{Format::q4_k, 100}, std::pair{Format::f32, 7},
                                     std::pair{Format::q8_0, 64}, std::pair{Format::iq2_s, 33}})
    layers.emplace_back(format, rows, 256, random);
  for (const int64_t tokens : {0, 3, 21}) {
    const auto x = random.normals(tokens * 256);
    const auto bias = random.normals(64);
    ktx::base::Buffer scratch = scratch_of(layers, tokens);
    std::vector<std::vector<float>> y;
    for (const Layer& layer : layers) y.emplace_back(static_cast<size_t>(tokens * layer.w.rows));
    std::vector<ops::LinearArgs> args;
    for (size_t i = 0; i < layers.size(); ++i)
      args.push_back({.x = x.data(),
                      .x_stride = 256,
                      .tokens = tokens,
                      .w = &layers[i].w,
                      .bias = i == 2 ? bias.data() : nullptr,
                      .y = y[i].data(),
                      .y_stride = layers[i].w.rows,
                      .scratch = scratch.data()});
    WorkerPool pool(3);
    ops::linear_many(args, pool);
    for (size_t i = 0; i < layers.size(); ++i)
      REQUIRE(run(layers[i], x, i == 2 ? bias : std::vector<float>{}, 1) == y[i]);
  }
}

TEST_CASE(
    "linear layers on several NUMA nodes: the numbers are those of one, whatever each node holds") {
  Random random(4);
  std::vector<Layer> layers;
  for (const auto& [format, rows] :
       {std::pair{Format::q4_k, 333}, std::pair{Format::bf16, 31}, std::pair{Format::iq2_s, 96}})
    layers.emplace_back(format, rows, 256, random);
  for (const int64_t tokens : {1, 21}) {
    const auto x = random.normals(tokens * 256);
    ktx::base::Buffer scratch = scratch_of(layers, tokens);
    for (const std::vector<int>& threads :
         {std::vector<int>{1, 1}, {2, 1}, {1, 0, 2}, {1, 1, 1, 2}})
      for (const auto spread :
           {Spread::together, Spread::replicate, Spread::shard, Spread::one_node}) {
        INFO(tokens << " tokens, " << threads.size() << " nodes, " << static_cast<int>(spread));
        WorkerPool pool(pool_nodes(threads));
        std::list<NodeMatrices> spread_out;
        std::vector<std::vector<float>> y;
        std::vector<ops::LinearArgs> args;
        for (const Layer& layer : layers) {
          // The last matrix stays in one piece: matrices of one call may differ.
          const bool last = &layer == &layers.back();
          spread_out.emplace_back(layer.w, 1, last ? Spread::together : spread, threads);
          y.emplace_back(static_cast<size_t>(tokens * layer.w.rows));
          args.push_back({.x = x.data(),
                          .x_stride = 256,
                          .tokens = tokens,
                          .w = &spread_out.back().matrix,
                          .y = y.back().data(),
                          .y_stride = layer.w.rows,
                          .scratch = scratch.data()});
        }
        ops::linear_many(args, pool);
        for (size_t i = 0; i < layers.size(); ++i) REQUIRE(run(layers[i], x, {}, 1) == y[i]);
      }
  }
}

TEST_CASE("8 tokens run the decode kernel, and 9 the prompt's") {
  Random random(11);
  PackedRandom layer(*ops::find_matmul_kernel("ref"), Format::f32, 70, 64, random);
  layer.w.decode = &counting_kernel<Phase::decode>();
  layer.w.prefill = &counting_kernel<Phase::prefill>();
  WorkerPool pool(3);
  for (const int64_t tokens : {1, 8, 9, 100}) {
    INFO(tokens);
    const auto x = random.normals(tokens * 64);
    std::vector<float> y(static_cast<size_t>(tokens * 70));
    count_anew();
    ops::linear({.x = x.data(),
                 .x_stride = 64,
                 .tokens = tokens,
                 .w = &layer.w,
                 .y = y.data(),
                 .y_stride = 70},
                pool);
    REQUIRE(numbers_made<Phase::decode> == (tokens <= 8 ? tokens * 70 : 0));
    REQUIRE(numbers_made<Phase::prefill> == (tokens <= 8 ? 0 : tokens * 70));
  }
}

TEST_CASE("with the decode kernel a token's result is what it is alone, to the bit") {
  Random random(21);
  for (const auto& kernel : ops::matmul_kernels()) {
    if (kernel.isa > ktx::hw::usable_isa()) continue;
    for (const Format format :
         {Format::q4_k, Format::q8_0, Format::int8, Format::fp8, Format::bf16, Format::f32}) {
      INFO(kernel.name << " " << quant::name(format));
      const Matrix matrix(format, 80, 512, random);
      const auto packed = matrix.pack(kernel.layout(format));
      const ops::PackedMatrix w{.data = packed.data(),
                                .format = format,
                                .rows = 80,
                                .cols = 512,
                                .decode = &kernel,
                                .prefill = &kernel};
      const auto x = random.normals(21 * 512);
      WorkerPool pool(2);
      const auto run = [&](int64_t first, int64_t tokens) {
        std::vector<float> y(static_cast<size_t>(tokens * 80));
        ktx::base::Buffer scratch(static_cast<size_t>(ops::linear_scratch_bytes(w, tokens)) + 64);
        ops::linear({.x = x.data() + first * 512,
                     .x_stride = 512,
                     .tokens = tokens,
                     .w = &w,
                     .y = y.data(),
                     .y_stride = 80,
                     .decode_kernel = true,
                     .scratch = scratch.data()},
                    pool);
        return y;
      };
      const auto together = run(0, 21);
      for (int64_t t = 0; t < 21; ++t) {
        const auto alone = run(t, 1);
        REQUIRE(std::equal(alone.begin(), alone.end(), together.begin() + t * 80));
      }
    }
  }
}
