// Timing of GPU work, and the rate of matrix products that it is compared with. For hidden tests
// that print figures; nothing is asserted of time.
#pragma once

#include <algorithm>
#include <cstdio>
#include <random>
#include <vector>

#include "core/device/cuda.hpp"
#include "ops/attention/cuda_heads.hpp"
#include "support/gpu.hpp"

namespace ktx::test {

/// Microseconds of a call: the median of rounds of `calls` calls, one behind the other. call(i) is
/// given a running number, to take other data each time.
template <class Call>
double microseconds(Gpu& gpu, int calls, const Call& call) {
  constexpr int rounds = 7;
  cudaEvent_t begin = nullptr, end = nullptr;
  device::check(cudaEventCreate(&begin), "making an event");
  device::check(cudaEventCreate(&end), "making an event");
  std::vector<float> times;
  int number = 0;
  for (int round = -1; round < rounds; ++round) {  // the first one warms up
    cudaEventRecord(begin, device::stream_of(gpu.queue()));
    for (int i = 0; i < calls; ++i) call(number++);
    cudaEventRecord(end, device::stream_of(gpu.queue()));
    gpu.queue().synchronize();
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, begin, end);
    if (round >= 0) times.push_back(1000 * milliseconds / float(calls));
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  return double{times[rounds / 2]};
}

/// Random bytes that are ordinary numbers as f32, bf16 and e4m3 codes alike.
inline device::Block random_numbers(Gpu& gpu, size_t bytes) {
  std::mt19937 random(1);
  std::vector<uint32_t> words(bytes / 4);
  for (uint32_t& word : words) word = 0x38383838u ^ (uint32_t(random()) & 0x87878787u);
  return gpu.upload(words);
}

/// TFLOP/s of cuBLASLt's product of two bf16 matrices of 8192 x 8192.
inline double product_rate(Gpu& gpu) {
  constexpr int64_t n = 8192;
  const auto a = random_numbers(gpu, 2 * n * n), b = random_numbers(gpu, 2 * n * n);
  const auto c = device::alloc(Gpu::place, 2 * n * n);
  const ops::cuda::HeadProducts products(gpu.queue());
  const double time = microseconds(gpu, 10, [&](int) {
    products.run({.weights = a.as<uint16_t>(),
                  .heads = 1,
                  .outputs = n,
                  .inputs = n,
                  .x = b.as<uint16_t>(),
                  .x_row = n,
                  .x_head = n * n,
                  .y = c.as<uint16_t>(),
                  .y_row = n,
                  .y_head = n * n,
                  .rows = n});
  });
  const double rate = 2.0 * double(n * n * n) / time / 1e6;
  std::printf("%d multiprocessors; bf16 products (cuBLASLt, 8192^3): %.0f TFLOP/s\n",
              device::limits_of(0).multiprocessors, rate);
  return rate;
}

}  // namespace ktx::test
