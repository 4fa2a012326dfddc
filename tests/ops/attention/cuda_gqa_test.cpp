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
  std::vector<ops::cuda::Prompt> prompts;
  ops::cuda::StepShape most{.rows = on_cpu.rows, .decode_rows = on_cpu.rows};
  for (size_t i = c.decoding.size(); i < parts.size(); ++i) {
    const ops::SequenceRows& p = on_cpu.sequences[i];
    prompts.push_back({int32_t(i), p.first_row, p.rows, p.past});
    most.decode_rows = std::min(most.decode_rows, p.first_row);
    most.tokens = std::max(most.tokens, p.tokens());
  }
  const auto scratch = gpu.poisoned(ops::cuda::gqa_scratch_bytes(s.params, most));
  ops::cuda::gqa({.params = &s.params,
                  .rope = rope.rope,
                  .batch = on_gpu.batch,
                  .cache = on_gpu.cache,
                  .decode_rows = most.decode_rows,
                  .prompts = prompts,
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
  for (const ops::SequenceRows& sequence : on_cpu.sequences) {
    INFO(sequence.rows << " rows behind " << sequence.past);
    // Queries, weights and sums are rounded to bf16, of an f32 cache keys and values too.
    REQUIRE(test::relative_distance(test::rows_of(got, sequence, s.q_width()),
                                    test::rows_of(expected, sequence, s.q_width())) < 0.015);
  }
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
