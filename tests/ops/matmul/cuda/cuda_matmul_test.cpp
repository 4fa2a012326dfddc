// Products of a GPU with every packed format and any number of tokens, against double.
#include "ops/matmul/cuda/matmul.hpp"

#include <algorithm>
#include <cmath>

#include "catch.hpp"
#include "core/device/graph.hpp"
#include "ops/cuda/refusals.hpp"
#include "ops/matmul/cuda/few_rows_index.hpp"
#include "ops/matmul/layout_x16.hpp"
#include "ops/matmul/matrices.hpp"
#include "ops/norm/cuda.hpp"
#include "support/gpu_launches.hpp"

using namespace ktx_test;
namespace cuda = ktx::ops::cuda;
using ktx::ops::X16;

namespace {

struct Inputs {
  Inputs(ktx::test::Gpu& gpu, Format format, int64_t rows, int64_t cols, int64_t tokens,
         Random& random)
      : matrix(format, rows, cols, random),
        bits(static_cast<size_t>(tokens * (cols + 8))),
        sums(random.normals(tokens * rows)) {
    for (uint16_t& number : bits) number = quant::f32_to_bf16(random.normal());
    const auto packed = matrix.pack(ops::Layout::x16);
    weights = gpu.upload(packed.data(), packed.size());
    x = gpu.upload(bits);
  }

  std::vector<float> token(int64_t t) const {
    std::vector<float> row;
    for (int64_t c = 0; c < matrix.cols; ++c)
      row.push_back(quant::bf16_to_f32(bits[static_cast<size_t>(t * (matrix.cols + 8) + c)]));
    return row;
  }

  cuda::MatmulArgs args(int64_t tokens) const {
    return {.w = {weights.data(), matrix.format, matrix.rows, matrix.cols},
            .x = shared_x != nullptr ? shared_x : x.as<uint16_t>(),
            .x_stride = matrix.cols + 8,
            .tokens = tokens};
  }

  /// Takes the activations of another, which outlives it.
  void share(const Inputs& other) {
    bits = other.bits;
    shared_x = other.x.as<uint16_t>();
  }

  Matrix matrix;
  std::vector<uint16_t> bits;  // bf16 [tokens, cols + 8]
  std::vector<float> sums;     // what is added: [tokens, rows]
  ktx::device::Block weights, x;
  const uint16_t* shared_x = nullptr;
};

/// The weights' own rounding to bf16, which products of some formats and all decoded rows have.
double weight_error(Format format, bool decoded) {
  const bool exact = format == Format::bf16 || (!decoded && format != Format::q6_k);
  return exact ? 0x1p-14 : 0x1p-9 + 0x1p-14;
}

/// Checks y [tokens, stride], of which rows numbers a token were to be written.
void check(const Inputs& in, const std::vector<float>& y, int64_t tokens, int64_t stride,
           double error, bool added, double rounding = 0) {
  int64_t told_apart = 0;  // products that what is allowed tells apart from zero
  for (int64_t t = 0; t < tokens; ++t) {
    const std::vector<float> x = in.token(t);
    const double x_norm = norm(x.data(), in.matrix.cols);
    for (int64_t r = 0; r < in.matrix.rows; ++r) {
      const float got = y[static_cast<size_t>(t * stride + r)];
      double expected = dot(in.matrix.row(r), x.data(), in.matrix.cols);
      if (added) expected += in.sums[static_cast<size_t>(t * in.matrix.rows + r)];
      const double allowed = error * norm(in.matrix.row(r), in.matrix.cols) * x_norm +
                             rounding * std::abs(expected) + 1e-6 * std::abs(expected);
      if (!(std::abs(got - expected) <= allowed)) {
        FAIL_CHECK("token " << t << " row " << r << ": " << got << " instead of " << expected
                            << " +- " << allowed);
        return;
      }
      told_apart += std::abs(expected) > 2 * allowed ? 1 : 0;
    }
    for (int64_t r = in.matrix.rows; r < stride; ++r)
      REQUIRE(std::isnan(y[static_cast<size_t>(t * stride + r)]));
  }
  CHECK(2 * told_apart > tokens * in.matrix.rows);
}

std::vector<float> from_bf16(const std::vector<uint16_t>& bits) {
  std::vector<float> numbers;
  for (const uint16_t half : bits) numbers.push_back(quant::bf16_to_f32(half));
  return numbers;
}

/// Rows of the shapes of a test: short ones that end within a step, and long ones that are split.
std::vector<std::pair<int64_t, int64_t>> shapes(X16 x16) {
  const int64_t unit = std::max<int64_t>(32, ops::x16_columns(x16));
  const int64_t ragged = cuda::may_end_early(x16) ? 5 * unit : 768;
  return {{85, ragged}, {16, unit}, {48, 4096}};
}

}  // namespace

TEST_CASE("cuda: products of every packed format with few and many tokens") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  ktx::test::Gpu gpu;
  cuda::MatmulSpace space(gpu.queue());
  Random random(11);
  for (const auto& row : quant::formats()) {
    const auto x16 = ops::x16_format(row.format);
    if (!x16) continue;
    for (const auto& [rows, cols] : shapes(*x16)) {
      REQUIRE(cuda::matmul_refusal(row.format, rows, cols).empty());
      const int64_t most = 70, stride = rows + 3;
      const Inputs in(gpu, row.format, rows, cols, most, random);
      for (const int64_t tokens : {1, 2, 5, 8, 9, 16, 33, 70}) {
        INFO(row.name << " [" << rows << ", " << cols << "] x " << tokens);
        const auto y = gpu.poisoned(static_cast<size_t>(tokens * stride) * 4);
        cuda::MatmulArgs args = in.args(tokens);
        args.y = y.as<float>();
        args.y_stride = stride;
        cuda::matmul(args, space);
        const bool decoded = tokens > cuda::few_tokens || !cuda::has_few_rows(*x16);
        const auto first = gpu.download<float>(y);
        check(in, first, tokens, stride, weight_error(row.format, decoded), false);
        cuda::matmul(args, space);
        const auto second = gpu.download<float>(y);
        CHECK(std::memcmp(first.data(), second.data(), first.size() * 4) == 0);
      }
    }
  }
}

TEST_CASE("cuda: products are added to a residual, or rounded to bf16") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  ktx::test::Gpu gpu;
  cuda::MatmulSpace space(gpu.queue());
  Random random(12);
  for (const Format format : {Format::q4_k, Format::q6_k, Format::int8, Format::f16})
    for (const int64_t tokens : {1, 7, 16, 70}) {
      const int64_t rows = 84, cols = 768;
      INFO(quant::name(format) << " x " << tokens);
      const Inputs in(gpu, format, rows, cols, tokens, random);
      const bool decoded = tokens > cuda::few_tokens || format == Format::f16;
      const double error = weight_error(format, decoded);
      const auto y = gpu.upload(in.sums);
      cuda::MatmulArgs args = in.args(tokens);
      args.y = y.as<float>();
      args.add = args.y;
      args.y_stride = rows;
      cuda::matmul(args, space);
      check(in, gpu.download<float>(y), tokens, rows, error, true);

      const auto halves = gpu.poisoned(static_cast<size_t>(tokens * rows) * 2);
      args = in.args(tokens);
      args.y_bf16 = halves.as<uint16_t>();
      args.y_stride = rows;
      cuda::matmul(args, space);
      check(in, from_bf16(gpu.download<uint16_t>(halves)), tokens, rows, error, false, 0x1p-8);
    }
}

TEST_CASE("cuda: products of one input, few tokens in a launch a format") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  ktx::test::Gpu gpu;
  cuda::MatmulSpace space(gpu.queue());
  Random random(14);
  const int64_t most = 70;
  struct Of {
    Format format;
    int64_t rows;
  };
  // Parts that end within a block and within a group; q6_k and f16 between those of q4_k.
  const std::vector<Of> matrices = {{Format::q4_k, 576}, {Format::q6_k, 85}, {Format::q4_k, 16},
                                    {Format::f16, 40},   {Format::q4_k, 77}, {Format::q6_k, 300}};
  constexpr size_t rounded = 1, added = 3;
  for (const int64_t cols : {768, 4096}) {
    std::vector<Inputs> inputs;
    for (const Of& of : matrices) inputs.emplace_back(gpu, of.format, of.rows, cols, most, random);
    for (Inputs& in : inputs) in.share(inputs.front());
    const auto sums = gpu.upload(inputs[added].sums);
    for (const int64_t tokens : {1, 3, 9, 33, 70}) {
      std::vector<cuda::MatmulArgs> products;
      std::vector<ktx::device::Block> outputs;
      for (size_t i = 0; i < inputs.size(); ++i) {
        cuda::MatmulArgs& args = products.emplace_back(inputs[i].args(tokens));
        args.y_stride = matrices[i].rows + static_cast<int64_t>(i) % 3;
        outputs.push_back(
            gpu.poisoned(static_cast<size_t>(tokens * args.y_stride) * (i == rounded ? 2 : 4)));
        if (i == rounded)
          args.y_bf16 = outputs[i].as<uint16_t>();
        else
          args.y = outputs[i].as<float>();
      }
      products[added].add = sums.as<float>();
      cuda::matmul_many(products, space);
      cuda::matmul_many(products, space);  // finds what the first left in the space
      for (size_t i = 0; i < inputs.size(); ++i) {
        INFO(quant::name(matrices[i].format) << " " << matrices[i].rows << " x " << tokens);
        const bool decoded = tokens > cuda::few_tokens || matrices[i].format == Format::f16;
        const auto y = i == rounded ? from_bf16(gpu.download<uint16_t>(outputs[i]))
                                    : gpu.download<float>(outputs[i]);
        check(inputs[i], y, tokens, products[i].y_stride, weight_error(matrices[i].format, decoded),
              i == added, i == rounded ? 0x1p-8 : 0);
      }
    }
    std::vector<cuda::MatmulArgs> of_q4_k;
    const auto y = gpu.poisoned(577 * 4);
    for (const size_t i : {0, 2, 4}) {
      of_q4_k.push_back(inputs[i].args(1));
      of_q4_k.back().y = y.as<float>();
    }
    CHECK(ktx::test::launches_of(gpu, [&] { cuda::matmul_many(of_q4_k, space); }) == 1);
  }
}

TEST_CASE("cuda: gate and up with SiLU, few tokens of one format in a launch") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  ktx::test::Gpu gpu;
  cuda::MatmulSpace space(gpu.queue());
  Random random(15);
  const int64_t rows = 84, cols = 768, stride = rows + 2;
  for (const auto& [of_gate, of_up] :
       {std::pair{Format::q4_k, Format::q4_k}, std::pair{Format::int8, Format::int8},
        std::pair{Format::q4_k, Format::q6_k}, std::pair{Format::f16, Format::f16}})
    for (const int64_t tokens : {1, 5, 16, 33, 70}) {
      INFO(quant::name(of_gate) << " and " << quant::name(of_up) << " x " << tokens);
      const Inputs gate(gpu, of_gate, rows, cols, tokens, random);
      Inputs up(gpu, of_up, rows, cols, tokens, random);
      up.share(gate);
      const auto y = gpu.poisoned(static_cast<size_t>(tokens * stride) * 2);
      const auto up_to = gpu.poisoned(static_cast<size_t>(tokens * rows) * 2);
      const cuda::MatmulArgs x = gate.args(tokens);
      const cuda::GatedArgs args{.gate = x.w,
                                 .up = up.args(tokens).w,
                                 .x = x.x,
                                 .x_stride = x.x_stride,
                                 .tokens = tokens,
                                 .y = y.as<uint16_t>(),
                                 .y_stride = stride,
                                 .up_to = up_to.as<uint16_t>(),
                                 .up_stride = rows};
      cuda::gated(args, space);
      const auto got = from_bf16(gpu.download<uint16_t>(y));
      double errors = 0, all = 0;
      for (int64_t t = 0; t < tokens; ++t) {
        const std::vector<float> token = gate.token(t);
        for (int64_t r = 0; r < rows; ++r) {
          const double g = dot(gate.matrix.row(r), token.data(), cols);
          const double expected =
              g / (1 + std::exp(-g)) * dot(up.matrix.row(r), token.data(), cols);
          const double error = got[static_cast<size_t>(t * stride + r)] - expected;
          errors += error * error;
          all += expected * expected;
        }
        for (int64_t r = rows; r < stride; ++r)
          REQUIRE(std::isnan(got[static_cast<size_t>(t * stride + r)]));
      }
      // gate, up, their product and, of decoded rows, the weights are rounded to bf16.
      CHECK(std::sqrt(errors) < 0x1p-7 * std::sqrt(all));
      if (tokens <= cuda::few_tokens && of_gate == of_up && of_gate != Format::f16)
        CHECK(ktx::test::launches_of(gpu, [&] { cuda::gated(args, space); }) == 1);
    }
}

TEST_CASE("cuda: products and norms that begin early wait for what they read") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  ktx::test::Gpu gpu;
  cuda::MatmulSpace space(gpu.queue());
  Random random(16);
  const int64_t size = 1024;
  const Inputs in(gpu, Format::q4_k, size, size, 1, random);
  const auto weight = gpu.upload(std::vector<float>(static_cast<size_t>(size), 1.0f));
  // Each writes what the next reads, and overwrites what the one before has read.
  const auto chain = [&](const ktx::device::Block& x, const ktx::device::Block& y, bool waiting) {
    for (int i = 0; i < 40; ++i) {
      cuda::MatmulArgs args = in.args(1);
      args.x = x.as<uint16_t>();
      args.y = y.as<float>();
      args.y_stride = size;
      cuda::matmul(args, space);
      if (waiting) gpu.queue().synchronize();
      cuda::rms_norm({.x = y.as<float>(),
                      .x_stride = size,
                      .y_bf16 = x.as<uint16_t>(),
                      .y_stride = size,
                      .weight = weight.as<float>(),
                      .rows = 1,
                      .width = size},
                     gpu.queue());
      if (waiting) gpu.queue().synchronize();
    }
  };
  const auto x = gpu.upload(in.bits), y = gpu.poisoned(size * 4);
  chain(x, y, true);
  const auto expected = gpu.download<float>(y);
  REQUIRE(std::ranges::all_of(expected, [](float number) { return std::isfinite(number); }));

  const auto again = gpu.upload(in.bits);
  chain(again, y, false);
  CHECK(gpu.download<float>(y) == expected);

  const auto captured = gpu.upload(in.bits);
  const auto graph = ktx::device::capture(gpu.queue(), [&] { chain(captured, y, false); });
  graph->launch();
  CHECK(gpu.download<float>(y) == expected);
}

TEST_CASE("cuda: decoded rows give the same products, in slabs too") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  ktx::test::Gpu gpu;
  cuda::MatmulSpace space(gpu.queue());
  Random random(13);
  // 4,700 rows of 7,168 columns are more than one slab of 64 MiB.
  for (const int64_t rows : {85, 4700}) {
    const int64_t cols = rows == 85 ? 768 : 7168;
    const Inputs in(gpu, Format::q4_k, rows, cols, 3, random);
    const auto y = gpu.poisoned(static_cast<size_t>(3 * rows) * 4);
    cuda::MatmulArgs args = in.args(3);
    args.y = y.as<float>();
    args.y_stride = rows;
    cuda::matmul_by_decoded_rows(args, space);
    check(in, gpu.download<float>(y), 3, rows, weight_error(Format::q4_k, true), false);
  }
}

TEST_CASE("cuda: a product that cuBLASLt refuses is a failure of its queue, told once") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  ktx::test::Gpu gpu;
  cuda::MatmulSpace space(gpu.queue());
  Random random(14);
  const Inputs in(gpu, Format::q4_k, 256, 256, 3, random);
  const auto y = gpu.poisoned(size_t{3} * 256 * 4);
  cuda::MatmulArgs args = in.args(3);
  args.y = y.as<float>();
  args.y_stride = 128;  // less than the rows: columns of y would overlap
  cuda::matmul_by_decoded_rows(args, space);
  CHECK(gpu.queue().failed());
  CHECK_THROWS_WITH(gpu.queue().synchronize(), Catch::Matchers::StartsWith("cuda:0 failed: "));
  CHECK_FALSE(gpu.queue().failed());
  gpu.queue().synchronize();
}
