// The op gqa on a GPU against the CPU's formula, on batches of decoding sequences and prompts.
#include "catch.hpp"
#include "ops/attention/cuda.hpp"
#include "ops/attention/cuda_batches.hpp"
#include "ops/attention/gqa.hpp"
#include "ops/attention/gqa_fixture.hpp"

using namespace ktx;

namespace {

struct Case {
  const char* name;
  graph::GqaParams params;
  int rotated;
  std::vector<test::Batch::Part> decoding, prompts;
};

const Case cases[] = {
    {"heads of 128",
     {.heads = 8, .kv_heads = 2, .head = 128},
     128,
     {{1, 200, nullptr}, {3, 62, nullptr}},
     {{150, 0, nullptr}, {70, 100, nullptr}}},
    {"heads of 64, a part rotated",
     {.heads = 6, .kv_heads = 6, .head = 64},
     32,
     {{1, 0, nullptr}},
     {{131, 7, nullptr}}},
    {"a window",
     {.heads = 4, .kv_heads = 1, .head = 64, .window = 50},
     64,
     {{2, 300, nullptr}},
     {{140, 200, nullptr}}},
    {"heads without tiles",
     {.heads = 4, .kv_heads = 2, .head = 32},
     32,
     {{4, 63, nullptr}},
     {{90, 10, nullptr}}},
};

void check(test::Gpu& gpu, const Case& c, graph::KvFormat format) {
  auto parts = c.decoding;
  parts.insert(parts.end(), c.prompts.begin(), c.prompts.end());
  test::Batch on_cpu(format, test::cache_row(c.params), parts);
  const test::GpuBatch on_gpu(gpu, on_cpu);
  test::GqaSequence s = test::make_gqa(c.params, c.rotated, 0, on_cpu.rows, 5);
  s.rope = ops::RopeTable(s.params.rotary, 512);
  const auto q = gpu.upload(s.q), k = gpu.upload(s.k), v = gpu.upload(s.v);
  const auto out = gpu.poisoned(size_t(on_cpu.rows * s.q_width()) * 2);
  const test::GpuRope rope(gpu, s.rope);
  const test::Prompts prompts(on_cpu, c.decoding.size());
  const auto scratch = gpu.poisoned(ops::cuda::gqa_scratch_bytes(s.params, prompts.step));
  ops::cuda::gqa({.params = &s.params,
                  .rope = rope.rope,
                  .batch = on_gpu.batch,
                  .cache = on_gpu.cache,
                  .decode_rows = prompts.step.decode_rows,
                  .prompts = prompts.list,
                  .q = q.as<float>(),
                  .q_stride = s.q_width() + 1,
                  .k = k.as<float>(),
                  .k_stride = s.width() + 2,
                  .v = v.as<float>(),
                  .v_stride = s.width() + 3,
                  .out = out.as<uint16_t>(),
                  .scratch = scratch.data()},
                 gpu.queue());
  const auto got = test::from_bf16(gpu.download<uint16_t>(out));

  std::vector<float> expected(got.size());
  ops::GqaArgs args = test::gqa_args(s, on_cpu.pages.cache, expected.data());
  args.sequences = on_cpu.sequences;
  ops::gqa_ref(args);
  test::check_outputs(on_cpu, got, expected, s.q_width());
}

}  // namespace

TEST_CASE("cuda: gqa, decoding sequences and prompts in one batch, every cache format") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  for (const graph::KvFormat format : test::cache_formats) {
    for (const Case& c : cases) {
      INFO(graph::info(format).name << ", " << c.name);
      check(gpu, c, format);
    }
  }
}
