// project: rows of floats times a packed matrix, by the decode and the prefill kernel.
#include "ops/attention/project.hpp"

#include <vector>

#include "catch.hpp"
#include "core/base/buffer.hpp"
#include "ops/ops_numbers.hpp"

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
