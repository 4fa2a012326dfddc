// Rows of a GPU's cache: what is stored, where, and how it is read back.
#include "ops/attention/cuda_cache.hpp"

#include "catch.hpp"
#include "ops/attention/cuda_batches.hpp"

using namespace ktx;

TEST_CASE("cuda: rows of a batch know their sequences, positions and pages") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  const test::Batch on_cpu(graph::KvFormat::bf16, {1, 1, 1},
                           {{2, 63, nullptr}, {1, 0, nullptr}, {3, 200, nullptr}});
  const test::GpuBatch batch(gpu, on_cpu, 2);
  CHECK(batch.sequence_of() == std::vector<int32_t>{0, 0, 1, 2, 2, 2, -1, -1});
  auto positions = batch.position_of();
  positions.resize(6);
  CHECK(positions == std::vector<int32_t>{63, 64, 0, 200, 201, 202});
  CHECK(batch.pages_before() == std::vector<int32_t>{0, 1, 3, 4, 8, 12, 16, 16, 16});
}

TEST_CASE("cuda: appended numbers are stored as the CPU stores them, to the bit") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  const int kv_heads = 3, head = 32, width = kv_heads * head;
  const graph::KvRow row{2 * width, head, 0};
  graph::Rope still;  // rotates nothing
  still.frequency.assign(head / 2, 0.0f);
  const test::GpuRope rope(gpu, ops::RopeTable(still, 256));
  for (const graph::KvFormat format : test::cache_formats) {
    INFO(graph::info(format).name);
    test::Batch on_cpu(format, row, {{70, 5, nullptr}, {1, 127, nullptr}});
    const test::GpuBatch on_gpu(gpu, on_cpu, 1);
    auto numbers = test::random_floats(on_gpu.batch.rows * row.numbers(), 3);
    for (int64_t i = 0; i < head; ++i) numbers[size_t(i)] = 0;                   // no scale
    for (int64_t i = 0; i < head; ++i) numbers[size_t(head + i)] *= 1e-30f;      // a small one
    for (int64_t i = 0; i < head; ++i) numbers[size_t(2 * head + i)] *= 1e-38f;  // too small
    const auto on_numbers = gpu.upload(numbers);
    append(ops::cuda::AppendGqaArgs{.batch = on_gpu.batch,
                                    .cache = on_gpu.cache,
                                    .rope = rope.rope,
                                    .kv_heads = kv_heads,
                                    .head = head,
                                    .k = on_numbers.as<float>(),
                                    .k_stride = row.numbers(),
                                    .v = on_numbers.as<float>() + width,
                                    .v_stride = row.numbers()},
           gpu.queue());
    const auto got = on_gpu.cache_bytes();
    const ops::KvPages& cache = on_cpu.pages.cache;
    for (const ops::SequenceRows& s : on_cpu.sequences) {
      for (int64_t i = 0; i < s.rows; ++i) {
        ops::write_numbers({&cache, cache.row_of(s, s.past + i), 0, row.scaled,
                            numbers.data() + (s.first_row + i) * row.numbers()});
      }
    }
    const auto* expected = reinterpret_cast<const uint8_t*>(cache.data);
    size_t different = 0;
    for (size_t i = 0; i < got.size(); ++i) different += got[i] != expected[i];
    REQUIRE(different == 0);  // what no row was written to is as it was
  }
}

TEST_CASE("cuda: latents are normed, keys and queries rotated, both ways of pairing") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  const graph::KvRow row{128, 64, 32};
  const int heads = 3, plain = 24;
  const test::Batch on_cpu(graph::KvFormat::bf16, row, {{5, 60, nullptr}, {1, 1000, nullptr}});
  const int64_t rows = on_cpu.rows, q_width = heads * (plain + row.exact);
  const auto latent = test::random_floats(rows * row.scaled, 1, 3);
  const auto k_rope = test::random_floats(rows * row.exact, 2);
  const auto norm = test::random_floats(row.scaled, 3), q = test::random_floats(rows * q_width, 4);
  const auto on_latent = gpu.upload(latent), on_rope = gpu.upload(k_rope);
  const auto on_norm = gpu.upload(norm), on_q = gpu.upload(q);
  for (const bool interleaved : {false, true}) {
    const ops::RopeTable table = test::rope_table(row.exact, interleaved, 1001);
    const test::GpuRope rope(gpu, table);
    const test::GpuBatch batch(gpu, on_cpu);
    append(ops::cuda::AppendMlaArgs{.batch = batch.batch,
                                    .cache = batch.cache,
                                    .rope = rope.rope,
                                    .latent = on_latent.as<float>(),
                                    .latent_stride = row.scaled,
                                    .norm = on_norm.as<float>(),
                                    .eps = 1e-5f,
                                    .k_rope = on_rope.as<float>(),
                                    .k_rope_stride = row.exact},
           gpu.queue());
    const auto plain_to = gpu.poisoned(size_t(rows * heads * plain) * 2);
    const auto rotated_to = gpu.poisoned(size_t(rows * heads * row.exact) * 2);
    ops::cuda::rotate_queries({.batch = batch.batch,
                               .rope = rope.rope,
                               .row_end = rows,
                               .heads = heads,
                               .plain = plain,
                               .rotate = int(row.exact),
                               .q = {.f32 = on_q.as<float>()},
                               .q_stride = q_width,
                               .plain_to = plain_to.as<uint16_t>(),
                               .plain_row = heads * plain,
                               .plain_head = plain,
                               .rotated_to = rotated_to.as<uint16_t>(),
                               .rotated_row = heads * row.exact,
                               .rotated_head = row.exact},
                              gpu.queue());
    const auto gathered = gpu.poisoned(size_t(65 * row.numbers()) * 2);
    ops::cuda::gather({batch.batch, batch.cache, 0, 65, gathered.as<uint16_t>()}, gpu.queue());

    const auto cached = test::from_bf16(gpu.download<uint16_t>(gathered));
    const auto position_of = batch.position_of();
    const auto got_plain = test::from_bf16(gpu.download<uint16_t>(plain_to));
    const auto got_rotated = test::from_bf16(gpu.download<uint16_t>(rotated_to));
    std::vector<float> expected_plain, expected_rotated, got_rows, expected_rows;
    for (int64_t r = 0; r < rows; ++r) {
      for (int h = 0; h < heads; ++h) {
        const float* from = q.data() + r * q_width + h * (plain + row.exact);
        expected_plain.insert(expected_plain.end(), from, from + plain);
        std::vector<float> part(from + plain, from + plain + row.exact);
        table.rotate(part.data(), position_of[size_t(r)]);
        expected_rotated.insert(expected_rotated.end(), part.begin(), part.end());
      }
      if (r >= 5) continue;  // gathered is the first sequence
      const float* x = latent.data() + r * row.scaled;
      double squares = 0;
      for (int64_t i = 0; i < row.scaled; ++i) squares += double(x[i]) * x[i];
      const double inverse = 1 / std::sqrt(squares / double(row.scaled) + 1e-5);
      for (int64_t i = 0; i < row.scaled; ++i) {
        expected_rows.push_back(float(x[i] * inverse * double(norm[size_t(i)])));
      }
      std::vector<float> part(k_rope.begin() + r * row.exact, k_rope.begin() + (r + 1) * row.exact);
      table.rotate(part.data(), position_of[size_t(r)]);
      expected_rows.insert(expected_rows.end(), part.begin(), part.end());
      const auto at = cached.begin() + (60 + r) * row.numbers();
      got_rows.insert(got_rows.end(), at, at + row.numbers());
    }
    REQUIRE(got_plain == test::from_bf16(test::to_bf16(expected_plain)));
    REQUIRE(test::relative_distance(got_rotated, expected_rotated) < 0x1p-9);
    REQUIRE(test::relative_distance(got_rows, expected_rows) < 0x1p-9);
  }
}

TEST_CASE("cuda: gathered rows are the numbers that the cache holds, in every format") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  const graph::KvRow row{512, 128, 64};
  for (const graph::KvFormat format : test::cache_formats) {
    INFO(graph::info(format).name);
    test::Batch on_cpu(format, row, {{1, 3, nullptr}, {1, 131, nullptr}});
    const test::GpuBatch on_gpu(gpu, on_cpu);
    const auto gathered = gpu.poisoned(size_t(131 * row.numbers()) * 2);
    ops::cuda::gather({on_gpu.batch, on_gpu.cache, 1, 131, gathered.as<uint16_t>()}, gpu.queue());
    const ops::SequenceRows filled{.past = 131, .pages = on_cpu.sequences[1].pages};
    REQUIRE(test::from_bf16(gpu.download<uint16_t>(gathered)) ==
            test::rounded_to_bf16(test::cached_numbers(on_cpu.pages.cache, filled)));
  }
}
