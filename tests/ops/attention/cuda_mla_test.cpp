// The op mla on a GPU against the CPU's formula, on batches of decoding sequences and prompts.
#include "catch.hpp"
#include "ops/attention/cuda.hpp"
#include "ops/attention/cuda_batches.hpp"
#include "ops/attention/mla.hpp"
#include "ops/attention/mla_fixture.hpp"
#include "support/gpu_launches.hpp"
#include "support/gpu_timing.hpp"

using namespace ktx;

namespace {

struct Case {
  const char* name;
  graph::MlaParams params;
  std::vector<test::Batch::Part> decoding, prompts;
  bool norm = false;  // of the latents, with the op
};

const graph::MlaParams deepseek{.heads = 6, .nope = 128, .rope = 64, .v = 128, .kv_lora = 512};
const graph::MlaParams small{.heads = 4, .nope = 32, .rope = 32, .v = 32, .kv_lora = 128};

const Case cases[] = {
    {"decoding alone", deepseek, {{1, 200, nullptr}, {3, 62, nullptr}, {1, 0, nullptr}}, {}},
    {"one row", deepseek, {{1, 700, nullptr}}, {}, true},
    {"one row on one page", deepseek, {{1, 40, nullptr}}, {}},
    {"eight rows", deepseek, {{8, 400, nullptr}}, {}, true},
    {"many decoding rows", deepseek, {{8, 100, nullptr}, {8, 3, nullptr}, {8, 70, nullptr}}, {}},
    {"a prompt from its start", deepseek, {}, {{150, 0, nullptr}}},
    {"few rows behind a long past", deepseek, {}, {{5, 300, nullptr}}},
    {"all at once",
     deepseek,
     {{1, 129, nullptr}, {2, 64, nullptr}},
     {{70, 0, nullptr}, {190, 30, nullptr}, {3, 120, nullptr}},
     true},
    {"sizes without tiles", small, {{1, 129, nullptr}, {2, 64, nullptr}}, {{70, 20, nullptr}}},
};

/// The latents of a sequence after their norm.
void norm_latents(test::MlaSequence& s, const std::vector<float>& weight, float eps) {
  const int64_t width = s.params.kv_lora;
  for (int64_t t = 0; t < s.total; ++t) {
    float* x = s.latent.data() + t * (width + 2);
    double squares = 0;
    for (int64_t i = 0; i < width; ++i) squares += double(x[i]) * x[i];
    const double inverse = 1 / std::sqrt(squares / double(width) + eps);
    for (int64_t i = 0; i < width; ++i) x[i] = float(x[i] * inverse * weight[size_t(i)]);
  }
}

/// Rows as a format stores them; numbers become what it has left of them.
std::vector<std::byte> stored(std::vector<float>& numbers, quant::Format format, int64_t cols) {
  const auto& info = quant::info(format);
  const auto bytes = static_cast<size_t>(quant::row_bytes(format, cols));
  std::vector<std::byte> out(numbers.size() / size_t(cols) * bytes);
  for (size_t row = 0; row < numbers.size() / size_t(cols); ++row) {
    float* of_row = numbers.data() + row * size_t(cols);
    info.encode(of_row, out.data() + row * bytes, cols);
    info.decode(out.data() + row * bytes, of_row, cols);
  }
  return out;
}

void check(test::Gpu& gpu, const Case& c, graph::KvFormat format,
           const ops::cuda::MlaFormats& matrices) {
  auto parts = c.decoding;
  parts.insert(parts.end(), c.prompts.begin(), c.prompts.end());
  test::Batch on_cpu(format, {c.params.kv_lora, 128, c.params.rope}, parts);
  const test::GpuBatch on_gpu(gpu, on_cpu);
  // As many tokens as rows; the rope's table reaches the last position.
  test::MlaSequence s = test::make_mla(c.params, on_cpu.rows, 3);
  const auto k_b = gpu.upload(stored(s.k_b_numbers, matrices.k_b, c.params.nope));
  const auto v_b = gpu.upload(stored(s.v_b_numbers, matrices.v_b, c.params.kv_lora));
  s.k_b = test::matrices(s.k_b_numbers, c.params.heads, c.params.kv_lora, c.params.nope);
  s.v_b = test::matrices(s.v_b_numbers, c.params.heads, c.params.v, c.params.kv_lora);
  s.rope = ops::RopeTable(s.params.rotary, 1024);

  const auto q = gpu.upload(s.q), latent = gpu.upload(s.latent), k_rope = gpu.upload(s.k_rope);
  const auto norm = test::random_floats(c.params.kv_lora, 4);
  const auto on_norm = gpu.upload(norm);
  if (c.norm) norm_latents(s, norm, 1e-5f);  // those on the GPU are as they were
  const auto out = gpu.poisoned(size_t(on_cpu.rows * s.out_width()) * 2);
  const test::GpuRope rope(gpu, s.rope);
  const test::Prompts prompts(on_cpu, c.decoding.size());
  const auto scratch = gpu.poisoned(
      ops::cuda::mla_scratch_bytes(s.params, matrices, prompts.step, gpu.multiprocessors()));
  const ops::cuda::HeadProducts products(gpu.queue());
  const ops::cuda::MlaArgs on_gpu_args{.params = &s.params,
                                       .k_b = {k_b.data(), matrices.k_b},
                                       .v_b = {v_b.data(), matrices.v_b},
                                       .rope = rope.rope,
                                       .batch = on_gpu.batch,
                                       .cache = on_gpu.cache,
                                       .decode_rows = prompts.step.decode_rows,
                                       .prompts = prompts.list,
                                       .q = {.f32 = q.as<float>()},
                                       .q_stride = s.q_width() + 1,
                                       .latent = latent.as<float>(),
                                       .latent_stride = s.params.kv_lora + 2,
                                       .latent_norm = c.norm ? on_norm.as<float>() : nullptr,
                                       .eps = 1e-5f,
                                       .k_rope = k_rope.as<float>(),
                                       .k_rope_stride = s.params.rope + 3,
                                       .out = out.as<uint16_t>(),
                                       .scratch = scratch.data()};
  ops::cuda::mla(on_gpu_args, products, gpu.queue());
  const auto got = test::from_bf16(gpu.download<uint16_t>(out));

  std::vector<float> expected(got.size());
  ops::MlaArgs args = test::mla_args(s, on_cpu.pages.cache, expected.data());
  args.sequences = on_cpu.sequences;
  ops::mla_ref(args);
  test::check_outputs(on_cpu, got, expected, s.out_width());
  if (c.prompts.empty() && on_cpu.rows <= 8 && format != graph::KvFormat::f32)
    CHECK(test::launches_of(gpu, [&] { ops::cuda::mla(on_gpu_args, products, gpu.queue()); }) == 3);
}

}  // namespace

TEST_CASE("cuda: mla, decoding sequences and prompts in one batch, every cache format") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  using quant::Format;
  constexpr ops::cuda::MlaFormats all[] = {
      {}, {Format::int8, Format::int8}, {Format::int8, Format::bf16}, {Format::bf16, Format::int8}};
  for (const auto& matrices : all) {
    for (const graph::KvFormat format : test::cache_formats) {
      // What becomes of the matrices does not depend on the cache.
      if (matrices.k_b != matrices.v_b && format != graph::KvFormat::bf16) continue;
      for (const Case& c : cases) {
        INFO(graph::info(format).name << ", " << c.name << ", k_b " << quant::name(matrices.k_b)
                                      << ", v_b " << quant::name(matrices.v_b));
        check(gpu, c, format, matrices);
      }
    }
  }
}

TEST_CASE("cuda: prompts are expanded where that takes less work") {
  graph::MlaParams params = deepseek;
  params.heads = 128;
  CHECK(ops::cuda::expanding_is_cheaper(params, {0, 0, 2, 0}));
  CHECK(ops::cuda::expanding_is_cheaper(params, {0, 0, 512, 30000}));
  CHECK_FALSE(ops::cuda::expanding_is_cheaper(params, {0, 0, 1, 4096}));
  CHECK_FALSE(ops::cuda::expanding_is_cheaper(params, {0, 0, 100, 30000}));
  CHECK_FALSE(ops::cuda::expanding_is_cheaper(small, {0, 0, 512, 0}));  // has no tiles
}

TEST_CASE("cuda: speed of mla, prompts and decoding, of one layer of DeepSeek-V3", "[.bench]") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  const double products_rate = test::product_rate(gpu);
  const ops::cuda::HeadProducts products(gpu.queue());
  graph::MlaParams p = deepseek;
  p.heads = 128;
  p.scale = 0.1f;
  const graph::KvRow row{p.kv_lora, 128, p.rope};
  const ops::RopeTable table = test::rope_table(p.rope, true, 32768);
  const test::GpuRope rope(gpu, table);
  const auto k_b = test::random_numbers(gpu, size_t(p.heads * p.kv_lora * p.nope) * 2);
  const auto v_b = test::random_numbers(gpu, size_t(p.heads * p.kv_lora * p.v) * 2);
  struct Shape {
    int64_t rows, past;
    bool prompt;
  };
  for (const Shape& s : {Shape{1, 1023, false}, Shape{1, 32767, false}, Shape{512, 0, true},
                         Shape{2048, 0, true}, Shape{2048, 30720, true}}) {
    const int64_t tokens = s.rows + s.past, q_width = p.heads * (p.nope + p.rope);
    std::vector<int32_t> numbers(size_t(graph::pages_of(tokens)));
    std::iota(numbers.begin(), numbers.end(), 0);
    const auto pages = gpu.upload(numbers), first = gpu.upload(std::vector<int32_t>{0});
    const auto count = gpu.upload(std::vector<int32_t>{int32_t(s.rows)});
    const auto past = gpu.upload(std::vector<int32_t>{int32_t(s.past)});
    const auto of_rows = gpu.poisoned(size_t(3 * s.rows + 1) * 4);
    const ops::cuda::Batch batch{.rows = s.rows,
                                 .sequences = 1,
                                 .first_row = first.as<int32_t>(),
                                 .row_count = count.as<int32_t>(),
                                 .past = past.as<int32_t>(),
                                 .pages = pages.as<int32_t>(),
                                 .most_pages = int64_t(numbers.size()),
                                 .sequence_of = of_rows.as<int32_t>(),
                                 .position_of = of_rows.as<int32_t>() + s.rows,
                                 .pages_before = of_rows.as<int32_t>() + 2 * s.rows};
    ops::cuda::number_rows(batch, gpu.queue());
    const auto bytes =
        test::random_numbers(gpu, numbers.size() * size_t(graph::page_tokens * 2 * row.numbers()));
    const auto q = test::random_numbers(gpu, size_t(s.rows * q_width) * 4);
    const auto latent = test::random_numbers(gpu, size_t(s.rows * row.numbers()) * 4);
    const auto out = gpu.poisoned(size_t(s.rows * p.heads * p.v) * 2);
    const ops::cuda::Prompt prompt{0, 0, s.rows, s.past};
    const auto scratch = gpu.poisoned(ops::cuda::mla_scratch_bytes(
        p, {}, {s.rows, s.prompt ? 0 : s.rows, tokens}, gpu.multiprocessors()));
    const double time = test::microseconds(gpu, s.prompt ? 3 : 50, [&](int) {
      ops::cuda::mla({.params = &p,
                      .k_b = {k_b.data()},
                      .v_b = {v_b.data()},
                      .rope = rope.rope,
                      .batch = batch,
                      .cache = {bytes.data(), graph::KvFormat::bf16, row, 2 * row.numbers()},
                      .decode_rows = s.prompt ? 0 : s.rows,
                      .prompts = {&prompt, s.prompt ? size_t{1} : size_t{0}},
                      .q = {.f32 = q.as<float>()},
                      .q_stride = q_width,
                      .latent = latent.as<float>(),
                      .latent_stride = row.numbers(),
                      .k_rope = latent.as<float>() + p.kv_lora,
                      .k_rope_stride = row.numbers(),
                      .out = out.as<uint16_t>(),
                      .scratch = scratch.data()},
                     products, gpu.queue());
    });
    const double pairs = double(s.rows) * double(s.past) + double(s.rows * (s.rows + 1)) / 2;
    const double rate = 2 * p.heads * pairs * (p.nope + p.rope + p.v) / time / 1e6;
    std::printf("mla, %s of %4d rows, %5d tokens: %8.1f us", s.prompt ? "prompt" : "decode",
                int(s.rows), int(tokens), time);
    if (s.prompt)
      std::printf(" %6.1f TFLOP/s of attention (%4.1f %%)", rate, 100 * rate / products_rate);
    std::printf("\n");
  }
}
