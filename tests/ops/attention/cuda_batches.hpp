// Batches and their caches on a GPU, for the tests of attention there.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "catch.hpp"
#include "core/quant/half.hpp"
#include "ops/attention/cuda.hpp"
#include "ops/attention/cuda_batch.hpp"
#include "ops/attention/paged_cache.hpp"
#include "ops/attention/rope.hpp"
#include "ops/f32/functions.hpp"
#include "ops/ops_numbers.hpp"
#include "support/gpu.hpp"

namespace ktx::test {

inline std::vector<uint16_t> to_bf16(const std::vector<float>& numbers) {
  std::vector<uint16_t> halves;
  for (const float x : numbers) halves.push_back(quant::f32_to_bf16(x));
  return halves;
}

inline std::vector<float> from_bf16(const std::vector<uint16_t>& halves) {
  std::vector<float> numbers;
  for (const uint16_t h : halves) numbers.push_back(quant::bf16_to_f32(h));
  return numbers;
}

inline std::vector<float> rounded_to_bf16(const std::vector<float>& numbers) {
  return from_bf16(to_bf16(numbers));
}

/// A batch of the CPU with its cache and page numbers on a GPU, and `unused` rows behind it.
class GpuBatch {
 public:
  GpuBatch(Gpu& gpu, const Batch& on_cpu, int64_t unused = 0)
      : cache(on_cpu.pages.cache), gpu_(gpu) {
    std::vector<int32_t> first, rows, past;
    for (const ops::SequenceRows& s : on_cpu.sequences) {
      first.push_back(int32_t(s.first_row));
      rows.push_back(int32_t(s.rows));
      past.push_back(int32_t(s.past));
      batch.most_pages = std::max(batch.most_pages, graph::pages_of(s.tokens()));
    }
    batch.rows = on_cpu.rows + unused;
    batch.sequences = int64_t(first.size());
    batch.first_row = keep(gpu.upload(first));
    batch.row_count = keep(gpu.upload(rows));
    batch.past = keep(gpu.upload(past));
    batch.pages = keep(gpu.upload(page_numbers(on_cpu)));
    batch.sequence_of = keep(gpu.poisoned(size_t(batch.rows) * 4));
    batch.position_of = keep(gpu.poisoned(size_t(batch.rows) * 4));
    batch.pages_before = keep(gpu.poisoned(size_t(batch.rows + 1) * 4));
    ops::cuda::number_rows(batch, gpu.queue());
    bytes_ = gpu.upload(on_cpu.pages.bytes.data(), on_cpu.pages.bytes.size());
    cache.data = bytes_.data();
  }

  ops::cuda::Batch batch;
  ops::KvPages cache;

  std::vector<int32_t> sequence_of() const { return gpu_.download<int32_t>(kept_[4]); }
  std::vector<int32_t> position_of() const { return gpu_.download<int32_t>(kept_[5]); }
  std::vector<int32_t> pages_before() const { return gpu_.download<int32_t>(kept_[6]); }
  std::vector<uint8_t> cache_bytes() const { return gpu_.download<uint8_t>(bytes_); }

 private:
  std::vector<int32_t> page_numbers(const Batch& on_cpu) const {
    std::vector<int32_t> numbers(size_t(batch.sequences * batch.most_pages), 0x7fffffff);
    for (size_t s = 0; s < on_cpu.sequences.size(); ++s) {
      std::copy_n(on_cpu.sequences[s].pages, graph::pages_of(on_cpu.sequences[s].tokens()),
                  numbers.begin() + long(s) * batch.most_pages);
    }
    return numbers;
  }
  int32_t* keep(device::Block block) {
    kept_.push_back(std::move(block));
    return kept_.back().as<int32_t>();
  }

  Gpu& gpu_;
  std::vector<device::Block> kept_;
  device::Block bytes_;
};

/// The prompts of a batch, which follow its decoding sequences, and the shape of its step.
struct Prompts {
  Prompts(const Batch& batch, size_t decoding)
      : step{.rows = batch.rows, .decode_rows = batch.rows} {
    for (size_t i = decoding; i < batch.sequences.size(); ++i) {
      const ops::SequenceRows& p = batch.sequences[i];
      list.push_back({int32_t(i), p.first_row, p.rows, p.past});
      step.decode_rows = std::min(step.decode_rows, p.first_row);
      step.tokens = std::max(step.tokens, p.tokens());
    }
  }
  std::vector<ops::cuda::Prompt> list;
  ops::cuda::StepShape step;
};

/// Every sequence's output: queries, weights and sums are rounded to bf16, in mla wide ones twice,
/// of an f32 cache keys and values too.
inline void check_outputs(const Batch& batch, const std::vector<float>& got,
                          const std::vector<float>& expected, int64_t width) {
  for (const ops::SequenceRows& sequence : batch.sequences) {
    INFO(sequence.rows << " rows behind " << sequence.past);
    REQUIRE(relative_distance(rows_of(got, sequence, width), rows_of(expected, sequence, width)) <
            0.015);
  }
}

/// A rope's table on a GPU.
struct GpuRope {
  GpuRope(Gpu& gpu, const ops::RopeTable& table)
      : bytes(gpu.upload(table.cos_sin())),
        rope{bytes.as<float>(), int(table.dims() / 2), table.interleaved()} {}
  device::Block bytes;
  ops::cuda::Rope rope;
};

inline ops::RopeTable rope_table(int64_t dims, bool interleaved, int64_t positions) {
  graph::Rope rope;
  rope.interleaved = interleaved;
  rope.magnitude = 1.25f;
  for (int64_t i = 0; i < dims / 2; ++i) {
    rope.frequency.push_back(std::pow(10000.0f, -2 * float(i) / float(dims)));
  }
  return {rope, positions};
}

/// The numbers that a cache holds of a sequence's tokens, [tokens, row.numbers()].
inline std::vector<float> cached_numbers(const ops::KvPages& cache,
                                         const ops::SequenceRows& sequence) {
  const int64_t width = cache.row.numbers();
  std::vector<float> numbers, page(size_t(graph::page_tokens * width));
  for (int64_t t = 0; t < sequence.tokens(); t += graph::page_tokens) {
    const int64_t count = std::min(graph::page_tokens, sequence.tokens() - t);
    const ops::FloatRows rows = ops::read_rows({.cache = &cache,
                                                .functions = &ops::f32::ref_functions,
                                                .page = sequence.pages[t / graph::page_tokens],
                                                .tokens = count,
                                                .numbers = width,
                                                .scratch = page.data()});
    for (int64_t i = 0; i < count; ++i) {
      numbers.insert(numbers.end(), rows.data + i * rows.stride,
                     rows.data + i * rows.stride + width);
    }
  }
  return numbers;
}

}  // namespace ktx::test
