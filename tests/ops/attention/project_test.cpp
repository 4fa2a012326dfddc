// project: rows of floats times a packed matrix, by the decode and the prefill kernel.
#include "ops/attention/project.hpp"

#include <vector>

#include "catch.hpp"
#include "core/base/buffer.hpp"
#include "ops/ops_numbers.hpp"
#include "support/emulated/emulated_amx.hpp"

using namespace ktx;

TEST_CASE("project: strided rows, few by the decode kernel, many by the prefill kernel") {
  const int64_t rows = 40, cols = 64;
  const auto w = test::random_floats(rows * cols, 1);
  const ops::MatmulKernel* ref = ops::find_matmul_kernel("ref");
  REQUIRE(ref != nullptr);
  static int64_t prefilled = 0;
  prefilled = 0;
  ops::MatmulKernel counting = *ref;
  counting.run = [](const ops::MatmulArgs& args) noexcept {
    prefilled += args.x.tokens;
    ops::find_matmul_kernel("ref")->run(args);
  };
  const ops::PackedMatrix matrix{
      reinterpret_cast<const std::byte*>(w.data()), quant::Format::f32, rows, cols, ref, &counting};
  for (int64_t tokens : {1, 4, 33}) {
    const auto x = test::random_floats(tokens * (cols + 1), 2);
    std::vector<float> y(size_t(tokens * (rows + 2)), -7.0f);
    base::Buffer scratch(size_t(ops::project_scratch_bytes(matrix, tokens)));
    ops::project({&matrix, x.data(), cols + 1, tokens, y.data(), rows + 2, scratch.data()});
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t r = 0; r < rows; ++r) {
        double sum = 0;
        for (int64_t i = 0; i < cols; ++i) {
          sum += double(x[size_t(t * (cols + 1) + i)]) * w[size_t(r * cols + i)];
        }
        REQUIRE(y[size_t(t * (rows + 2) + r)] == Approx(sum).epsilon(1e-5).margin(1e-5));
      }
      REQUIRE(y[size_t(t * (rows + 2) + rows)] == -7.0f);
    }
  }
  CHECK(prefilled == 33);
}

TEST_CASE("project: on tiles, unit vectors give the matrix's columns, whatever overlaps") {
  const ops::MatmulKernel& kernel = test::emulated_amx_kernel();
  if (kernel.isa > hw::usable_isa()) SKIP("no AVX-512 VBMI for emulated tiles");
  const int64_t rows = 48, cols = 320;
  for (const quant::Format format : {quant::Format::bf16, quant::Format::int8}) {
    INFO(quant::name(format));
    const auto& info = quant::info(format);
    const auto numbers = test::random_floats(rows * cols, 3);
    const int64_t row_bytes = quant::row_bytes(format, cols);
    base::Buffer encoded(size_t(rows * row_bytes));
    std::vector<float> w(size_t(rows * cols));
    for (int64_t r = 0; r < rows; ++r) {
      info.encode(numbers.data() + r * cols, encoded.data() + r * row_bytes, cols);
      info.decode(encoded.data() + r * row_bytes, w.data() + r * cols, cols);
    }
    const ops::Layout layout = kernel.layout(format);
    base::Buffer packed(size_t(ops::packed_bytes(layout, format, rows, cols)));
    ops::pack_matrix({layout, format, rows, cols, 0, rows, encoded.data(), packed.data()});
    const ops::PackedMatrix matrix{packed.data(), format, rows, cols, &kernel, &kernel};
    REQUIRE(ops::is_tiles(ops::activation_for(kernel, format, cols, cols)));
    std::vector<float> window(size_t(2 * cols - 1));  // row t begins t numbers before the last
    window[size_t(cols - 1)] = 1;
    std::vector<float> y(size_t(cols * rows));
    base::Buffer scratch(size_t(ops::project_scratch_bytes(matrix, cols)));
    ops::project({&matrix, window.data() + cols - 1, -1, cols, y.data(), rows, scratch.data()});
    // int8: 128 times a row's scale, 0.025, is added and taken away in f32.
    for (int64_t c = 0; c < cols; ++c)
      for (int64_t r = 0; r < rows; ++r)
        REQUIRE(y[size_t(c * rows + r)] ==
                Approx(w[size_t(r * cols + c)]).epsilon(1e-6).margin(1e-6));
  }
}
