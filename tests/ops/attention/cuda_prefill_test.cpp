// Attention of prompts on a GPU's tiles against the formula in double.
#include "ops/attention/cuda_prefill.hpp"

#include "catch.hpp"
#include "ops/attention/cuda_batches.hpp"
#include "support/gpu_timing.hpp"

using namespace ktx;

namespace {

struct Case {
  int head_dim, shared_dim, heads, heads_per_kv;
  int64_t rows, past, window;
};

const Case cases[] = {
    {128, 64, 2, 1, 1, 0, 0},      {128, 64, 3, 1, 200, 0, 0}, {128, 64, 2, 1, 129, 517, 0},
    {128, 64, 1, 1, 63, 64, 0},    {128, 0, 4, 2, 130, 70, 0}, {128, 0, 6, 6, 17, 900, 0},
    {128, 0, 2, 1, 150, 300, 100}, {64, 0, 4, 4, 128, 128, 0}, {64, 0, 2, 2, 300, 77, 64},
    {64, 0, 2, 1, 257, 1, 1},
};

/// [rows, heads, dim] with strides that leave gaps.
struct Rows {
  Rows(test::Gpu& gpu, int64_t rows, int64_t heads, int64_t dim, uint32_t seed, float scale = 1)
      : head(dim + 8), row(heads * head + 16) {
    numbers = test::rounded_to_bf16(test::random_floats(rows * row, seed, scale));
    block = gpu.upload(test::to_bf16(numbers));
  }
  const float* at(int64_t r, int64_t h) const { return numbers.data() + r * row + h * head; }
  int64_t head, row;
  std::vector<float> numbers;
  device::Block block;
};

std::vector<float> expected_row(const Case& c, const Rows& q, const Rows& k, const Rows& shared,
                                const Rows& v, double scale, int64_t r, int h) {
  const int64_t end = c.past + r + 1;
  const int64_t begin = c.window > 0 ? std::max<int64_t>(0, end - c.window) : 0;
  const int kv = h / c.heads_per_kv;
  std::vector<double> values(size_t(c.head_dim)), scores;
  double max = -INFINITY, sum = 0;
  for (int64_t key = begin; key < end; ++key) {
    double dot = 0;
    for (int i = 0; i < c.head_dim; ++i) dot += double(q.at(r, h)[i]) * k.at(key, kv)[i];
    for (int i = 0; i < c.shared_dim; ++i) {
      dot += double(q.at(r, h)[c.head_dim + i]) * shared.at(key, 0)[i];
    }
    scores.push_back(scale * dot);
    max = std::max(max, scores.back());
  }
  for (int64_t key = begin; key < end; ++key) {
    const double weight = std::exp(scores[size_t(key - begin)] - max);
    sum += weight;
    for (int i = 0; i < c.head_dim; ++i) values[size_t(i)] += weight * double(v.at(key, kv)[i]);
  }
  std::vector<float> result;
  for (const double x : values) result.push_back(float(x / sum));
  return result;
}

void check(test::Gpu& gpu, const ops::cuda::PrefillKernel& kernel) {
  for (const Case& c : cases) {
    INFO(kernel.name << ", " << c.head_dim << '+' << c.shared_dim << ", " << c.heads << " heads, "
                     << c.rows << " rows behind " << c.past << ", window " << c.window);
    const int64_t keys = c.past + c.rows, kv_heads = c.heads / c.heads_per_kv;
    const Rows q(gpu, c.rows, c.heads, c.head_dim + c.shared_dim, 1, 2);
    const Rows k(gpu, keys, kv_heads, c.head_dim, 2), shared(gpu, keys, 1, 64, 3);
    const Rows v(gpu, keys, kv_heads, c.head_dim, 4);
    const float scale = 1 / std::sqrt(float(c.head_dim + c.shared_dim));
    const int64_t out_row = c.heads * c.head_dim + 2;
    const auto out = gpu.poisoned(size_t(c.rows * out_row) * 2);
    const ops::cuda::PrefillArgs args{.rows = c.rows,
                                      .past = c.past,
                                      .heads = c.heads,
                                      .heads_per_kv = c.heads_per_kv,
                                      .head_dim = c.head_dim,
                                      .shared_dim = c.shared_dim,
                                      .scale = scale,
                                      .window = c.window,
                                      .q = q.block.as<uint16_t>(),
                                      .q_row = q.row,
                                      .q_head = q.head,
                                      .k = k.block.as<uint16_t>(),
                                      .k_row = k.row,
                                      .k_head = k.head,
                                      .shared_k = shared.block.as<uint16_t>(),
                                      .shared_row = shared.row,
                                      .v = v.block.as<uint16_t>(),
                                      .v_row = v.row,
                                      .v_head = v.head,
                                      .out = out.as<uint16_t>(),
                                      .out_row = out_row,
                                      .out_head = c.head_dim};
    if (!ops::cuda::runs_here(kernel, args, gpu.queue())) continue;
    kernel.run(args, gpu.queue());
    const auto got = test::from_bf16(gpu.download<uint16_t>(out));
    for (int64_t r = 0; r < c.rows; ++r) {
      for (int h = 0; h < c.heads; ++h) {
        INFO("row " << r << ", head " << h);
        const auto at = got.begin() + r * out_row + h * c.head_dim;
        // Weights and sums are rounded to bf16.
        REQUIRE(test::relative_distance(std::vector<float>(at, at + c.head_dim),
                                        expected_row(c, q, k, shared, v, double{scale}, r, h)) <
                0x1p-8);
      }
      REQUIRE(std::isnan(got[size_t((r + 1) * out_row - 1)]));
    }
  }
}

}  // namespace

TEST_CASE("cuda: prompts on tiles, every kernel, ragged rows, pasts and windows") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  for (const ops::cuda::PrefillKernel* kernel : ops::cuda::prefill_kernels()) check(gpu, *kernel);
}

TEST_CASE("cuda: speed of prompts on tiles", "[.bench]") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  const double products = test::product_rate(gpu);
  struct Shape {
    int head_dim, shared_dim, heads, heads_per_kv;
    int64_t rows, past;
  };
  for (const Shape& s : {Shape{128, 64, 128, 1, 2048, 0}, Shape{128, 64, 16, 1, 2048, 30720},
                         Shape{128, 0, 32, 4, 2048, 0}, Shape{128, 0, 32, 4, 2048, 30720}}) {
    const int64_t keys = s.past + s.rows, kv = s.heads / s.heads_per_kv;
    const int64_t width = s.head_dim + s.shared_dim;
    const auto q = test::random_numbers(gpu, size_t(s.rows * s.heads * width) * 2);
    const auto k = test::random_numbers(gpu, size_t(keys * kv * s.head_dim) * 2);
    const auto v = test::random_numbers(gpu, size_t(keys * kv * s.head_dim) * 2);
    const auto shared = test::random_numbers(gpu, size_t(keys) * 128);
    const auto out = gpu.poisoned(size_t(s.rows * s.heads * s.head_dim) * 2);
    const ops::cuda::PrefillArgs args{.rows = s.rows,
                                      .past = s.past,
                                      .heads = s.heads,
                                      .heads_per_kv = s.heads_per_kv,
                                      .head_dim = s.head_dim,
                                      .shared_dim = s.shared_dim,
                                      .scale = 0.1f,
                                      .q = q.as<uint16_t>(),
                                      .q_row = s.heads * width,
                                      .q_head = width,
                                      .k = k.as<uint16_t>(),
                                      .k_row = kv * s.head_dim,
                                      .k_head = s.head_dim,
                                      .shared_k = shared.as<uint16_t>(),
                                      .shared_row = 64,
                                      .v = v.as<uint16_t>(),
                                      .v_row = kv * s.head_dim,
                                      .v_head = s.head_dim,
                                      .out = out.as<uint16_t>(),
                                      .out_row = s.heads * s.head_dim,
                                      .out_head = s.head_dim};
    for (const ops::cuda::PrefillKernel* kernel : ops::cuda::prefill_kernels()) {
      if (!ops::cuda::runs_here(*kernel, args, gpu.queue())) continue;
      const double time = test::microseconds(gpu, 5, [&](int) { kernel->run(args, gpu.queue()); });
      const double pairs = double(s.rows) * double(s.past) + double(s.rows * (s.rows + 1)) / 2;
      const double rate = 2 * s.heads * pairs * double(width + s.head_dim) / time / 1e6;
      std::printf(
          "%-5s prompt of %d rows, %5d keys, %3d heads of %d+%d: %8.0f us %6.1f TFLOP/s "
          "(%4.1f %%)\n",
          kernel->name, int(s.rows), int(keys), s.heads, s.head_dim, s.shared_dim, time, rate,
          100 * rate / products);
    }
  }
}
