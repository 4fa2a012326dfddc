// Absorbed attention on a GPU against its formula in double, of the numbers that the cache holds.
#include "ops/attention/cuda_absorbed.hpp"

#include "catch.hpp"
#include "ops/attention/cuda_attend.hpp"
#include "ops/attention/cuda_batches.hpp"
#include "support/gpu_timing.hpp"

using namespace ktx;
using ops::cuda::mla_latents;
using ops::cuda::mla_row;

namespace {

constexpr graph::KvRow row{mla_latents, 128, ops::cuda::mla_rope};

/// Attention of one query over the first `keys` rows of a sequence's cache.
void attend_one(const float* q, const float* cached, int64_t keys, double scale, float* out) {
  std::vector<double> scores;
  double max = -INFINITY, sum = 0;
  for (int64_t k = 0; k < keys; ++k) {
    float dots[8] = {};  // short sums of f32 are exact enough, and eight times faster
    double dot = 0;
    for (int64_t i = 0; i < mla_row; i += 64) {
      std::fill_n(dots, 8, 0.0f);
      for (int64_t j = 0; j < 64; ++j) dots[j % 8] += q[i + j] * cached[k * mla_row + i + j];
      for (const float d : dots) dot += double(d);
    }
    scores.push_back(scale * dot);
    max = std::max(max, scores.back());
  }
  for (double& s : scores) sum += s = std::exp(s - max);
  std::vector<double> values(mla_latents);
  for (int64_t k = 0; k < keys; ++k) {
    if (scores[size_t(k)] < 1e-9 * sum) continue;
    for (int64_t i = 0; i < mla_latents; ++i) {
      values[size_t(i)] += scores[size_t(k)] * double(cached[k * mla_row + i]);
    }
  }
  for (int64_t i = 0; i < mla_latents; ++i) out[i] = float(values[size_t(i)] / sum);
}

struct Length {
  int64_t rows, past;
};

/// Sequences whose tokens are all in the cache.
test::Batch filled_batch(const std::vector<Length>& lengths, graph::KvFormat format) {
  std::vector<test::Batch::Part> parts;
  for (const auto& [rows, past] : lengths) parts.push_back({rows, past, nullptr});
  test::Batch batch(format, row, parts);
  for (const ops::SequenceRows& s : batch.sequences) {
    batch.pages.fill_past({.past = s.tokens(), .pages = s.pages}, uint32_t(s.first_row));
  }
  return batch;
}

struct Case {
  const char* name;
  std::vector<Length> sequences;
  int heads;
  int64_t unused = 0, row_begin = 0;
};

const Case cases[] = {
    {"one key", {{1, 0}}, 128},
    {"a page and a key", {{1, 64}}, 128},
    {"half a tile of heads, more keys than parts", {{1, 5000}}, 16},
    {"heads that fill no tile", {{1, 700}}, 40},
    {"ragged batch", {{1, 3}, {1, 1023}, {1, 64}, {1, 0}, {1, 2048}, {1, 129}}, 32},
    {"several rows a sequence, unused rows", {{4, 61}, {8, 500}, {1, 255}}, 32, 5},
    {"more rows than parts", std::vector<Length>(64, Length{2, 130}), 64},
    {"rows behind the first", {{3, 100}, {5, 300}, {2, 63}}, 32, 0, 3},
    {"parts of several pages and rows", std::vector<Length>(45, Length{1, 191}), 128},
};

/// What a kernel takes a cached number for: itself, or the nearest bf16. A code of e4m3 times its
/// f32 scale has more digits than bf16, in which tensor cores take keys and values: the formula is
/// given the same, so that what is left are the errors of the kernel's own sums.
enum class Takes : uint8_t { numbers, bf16 };

void check(test::Gpu& gpu, const Case& c, graph::KvFormat format, Takes takes, auto&& run) {
  const test::Batch on_cpu = filled_batch(c.sequences, format);
  const test::GpuBatch on_gpu(gpu, on_cpu, c.unused);
  const int64_t rows = on_gpu.batch.rows - c.row_begin, width = int64_t{c.heads} * mla_row;
  const auto q = test::rounded_to_bf16(test::random_floats(rows * width, 5));
  const float scale = 2 / std::sqrt(float(mla_row));
  const auto on_q = gpu.upload(test::to_bf16(q));
  const auto out = gpu.poisoned(size_t(rows * c.heads * mla_latents) * 2);
  run(on_gpu.batch, on_gpu.cache, scale, on_q.template as<uint16_t>(), out.template as<uint16_t>());
  const auto got = test::from_bf16(gpu.download<uint16_t>(out));
  for (int64_t r = on_cpu.rows - c.row_begin; r < rows; ++r) {
    REQUIRE(std::isnan(got[size_t(r * c.heads * mla_latents)]));  // unused rows are left alone
  }
  for (const ops::SequenceRows& s : on_cpu.sequences) {
    auto cached = test::cached_numbers(on_cpu.pages.cache, s);
    if (takes == Takes::bf16) cached = test::rounded_to_bf16(cached);
    for (int64_t i = std::max<int64_t>(0, c.row_begin - s.first_row); i < s.rows; ++i) {
      const int64_t r = s.first_row + i - c.row_begin;
      for (int h = 0; h < c.heads; h += r < 8 ? 1 : 7) {
        INFO("row " << r << ", head " << h);
        std::vector<float> expected(mla_latents);
        attend_one(q.data() + r * width + h * mla_row, cached.data(), s.past + i + 1, double{scale},
                   expected.data());
        const auto at = got.begin() + (r * c.heads + h) * mla_latents;
        // Weights and sums are rounded to bf16: half an ulp, 2^-9 of the number, each.
        REQUIRE(test::relative_distance(std::vector<float>(at, at + mla_latents), expected) <
                0x1p-8);
      }
    }
  }
}

}  // namespace

TEST_CASE("cuda: absorbed attention, every kernel, ragged batches and pages out of order") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  for (const ops::cuda::AbsorbedKernel* kernel : ops::cuda::absorbed_kernels()) {
    if (!ops::cuda::runs_here(*kernel, gpu.queue())) continue;
    for (const graph::KvFormat format : {graph::KvFormat::bf16, graph::KvFormat::fp8}) {
      for (const Case& c : cases) {
        INFO(kernel->name << ", " << graph::info(format).name << ", " << c.name);
        const auto scratch =
            gpu.poisoned(ops::cuda::absorbed_scratch_bytes(c.heads, gpu.multiprocessors()));
        check(gpu, c, format, Takes::bf16,
              [&](const ops::cuda::Batch& batch, const ops::KvPages& cache, float scale,
                  const uint16_t* q, uint16_t* out) {
                ops::cuda::attend_absorbed(*kernel,
                                           {.batch = batch,
                                            .cache = cache,
                                            .row_begin = c.row_begin,
                                            .row_end = batch.rows,
                                            .heads = c.heads,
                                            .scale = scale,
                                            .q = q,
                                            .out = out,
                                            .scratch = scratch.data()},
                                           gpu.queue());
              });
      }
    }
  }
}

TEST_CASE("cuda: attention for any sizes, every cache format") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  for (const graph::KvFormat format :
       {graph::KvFormat::f32, graph::KvFormat::bf16, graph::KvFormat::fp8}) {
    for (const Case& c : cases) {
      INFO(graph::info(format).name << ", " << c.name);
      check(gpu, c, format, Takes::numbers,
            [&](const ops::cuda::Batch& batch, const ops::KvPages& cache, float scale,
                const uint16_t* q, uint16_t* out) {
              ops::cuda::attend({.batch = batch,
                                 .cache = cache,
                                 .row_begin = c.row_begin,
                                 .row_end = batch.rows,
                                 .heads = c.heads,
                                 .heads_per_kv = c.heads,
                                 .key_dim = mla_row,
                                 .value_dim = mla_latents,
                                 .scale = scale,
                                 .q = q,
                                 .out = out},
                                gpu.queue());
            });
    }
  }
}

namespace {

/// A batch of equal sequences.
struct EqualBatch {
  EqualBatch(test::Gpu& gpu, int64_t sequences, int64_t context) {
    const int64_t pages = graph::pages_of(context);
    std::vector<int32_t> first, numbers;
    for (int32_t s = 0; s < sequences; ++s) first.push_back(s);
    for (int32_t i = 0; i < sequences * pages; ++i) numbers.push_back(i);
    std::shuffle(numbers.begin(), numbers.end(), std::mt19937(1));
    const auto upload = [&](const std::vector<int32_t>& from) {
      blocks.push_back(gpu.upload(from));
      return blocks.back().as<int32_t>();
    };
    const auto count = size_t(sequences);
    batch = {.rows = sequences,
             .sequences = sequences,
             .first_row = upload(first),
             .row_count = upload(std::vector<int32_t>(count, 1)),
             .past = upload(std::vector<int32_t>(count, int32_t(context - 1))),
             .pages = upload(numbers),
             .most_pages = pages,
             .sequence_of = upload(std::vector<int32_t>(count)),
             .position_of = upload(std::vector<int32_t>(count)),
             .pages_before = upload(std::vector<int32_t>(count + 1))};
    ops::cuda::number_rows(batch, gpu.queue());
  }
  std::vector<device::Block> blocks;
  ops::cuda::Batch batch;
};

constexpr int64_t most_timed = int64_t{16} << 15;  // tokens

void time_absorbed(test::Gpu& gpu, const ops::cuda::AbsorbedKernel& kernel, graph::KvFormat format,
                   int64_t sequences, int64_t context, const device::Block& pages,
                   double products) {
  const int heads = 128;
  const int64_t row_bytes = graph::row_bytes(format, row);
  const int64_t bytes = sequences * context * row_bytes;
  // Caches of layers, so many that they don't stay in the L2.
  const int layers = int(std::clamp<int64_t>((int64_t{256} << 20) / bytes, 1, 64));
  const auto q = test::random_numbers(gpu, size_t(sequences * heads * mla_row) * 2);
  const auto out = gpu.poisoned(size_t(sequences * heads * mla_latents) * 2);
  const auto scratch =
      gpu.poisoned(ops::cuda::absorbed_scratch_bytes(heads, gpu.multiprocessors()));
  const EqualBatch equal(gpu, sequences, context);
  const double time = test::microseconds(gpu, layers > 8 ? 64 : 8, [&](int i) {
    ops::cuda::attend_absorbed(
        kernel,
        {.batch = equal.batch,
         .cache = {pages.data() + i % layers * bytes, format, row, row_bytes},
         .row_end = sequences,
         .heads = heads,
         .scale = 0.1f,
         .q = q.as<uint16_t>(),
         .out = out.as<uint16_t>(),
         .scratch = scratch.data()},
        gpu.queue());
  });
  const double rate =
      2.0 * heads * double(sequences * context * (mla_row + mla_latents)) / time / 1e6;
  std::printf("%-6s %-4s batch %2d, %5d tokens: %8.1f us %6.1f TFLOP/s (%4.1f %%) %5.0f GB/s\n",
              kernel.name, std::string(graph::info(format).name).c_str(), int(sequences),
              int(context), time, rate, 100 * rate / products, double(bytes) / time / 1e3);
}

}  // namespace

TEST_CASE("cuda: speed of absorbed attention", "[.bench]") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  const double products = test::product_rate(gpu);
  const auto pages = test::random_numbers(gpu, size_t(most_timed * mla_row) * 2);
  for (const ops::cuda::AbsorbedKernel* kernel : ops::cuda::absorbed_kernels()) {
    if (!ops::cuda::runs_here(*kernel, gpu.queue())) continue;
    for (const graph::KvFormat format : {graph::KvFormat::bf16, graph::KvFormat::fp8}) {
      for (const int64_t sequences : {1, 16}) {
        for (const int64_t context : {1024, 4096, 32768}) {
          time_absorbed(gpu, *kernel, format, sequences, context, pages, products);
        }
      }
    }
  }
}
