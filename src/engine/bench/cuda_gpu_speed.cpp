// Speeds of GPUs: copies within one, from pinned memory and between two, and a product of bf16.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "core/device/memory.hpp"
#include "core/device/queue.hpp"
#include "core/quant/half.hpp"
#include "engine/bench/gpu_speed.hpp"
#include "ops/matmul/cuda/matmul.hpp"

namespace ktx::engine {

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t copied_bytes = size_t{256} << 20;
constexpr int64_t product_size = 8192;  // rows, columns and tokens
constexpr auto reading_time = std::chrono::milliseconds(400);

/// One GPU with memory to copy.
struct Bench {
  explicit Bench(int index)
      : place{.kind = device::DeviceKind::cuda, .index = index},
        queue(device::make_queue(place)),
        here(device::alloc(place, 2 * copied_bytes)),
        host(device::alloc({}, copied_bytes, device::Pinned::yes)) {}

  /// Seconds of one call, of the fastest of several runs of some.
  double seconds(const std::function<void()>& call) {
    constexpr int runs = 5, calls = 4;
    double best = 0;
    for (int run = 0; run <= runs; ++run) {
      const auto begin = Clock::now();
      for (int i = 0; i < calls; ++i) call();
      queue->synchronize();
      const double time = std::chrono::duration<double>(Clock::now() - begin).count() / calls;
      if (run > 0 && (best == 0 || time < best)) best = time;  // the first one warms up
    }
    return best;
  }

  device::Place place;
  std::unique_ptr<device::Queue> queue;
  device::Block here, host;
};

double read_bandwidth(Bench& bench) {
  const double seconds = bench.seconds([&] {
    bench.queue->copy(bench.here.data(), bench.here.data() + copied_bytes, copied_bytes);
  });
  return 2.0 * copied_bytes / seconds;  // it writes as many
}

double copy_bandwidth(Bench& bench) {
  return copied_bytes / bench.seconds([&] {
    bench.queue->copy(bench.here.data(), bench.host.data(), copied_bytes);
  });
}

/// Bytes/s that are copied while the CPUs read their memory, which takes `reading` bytes/s then.
double copy_while_reading(Bench& bench, int threads, double& reading) {
  std::atomic<bool> stop{false};
  double copied = 0;
  std::thread copier([&] {
    const auto begin = Clock::now();
    int64_t copies = 0;
    for (; !stop; ++copies) {
      bench.queue->copy(bench.here.data(), bench.host.data(), copied_bytes);
      bench.queue->synchronize();
    }
    copied = static_cast<double>(copies) * copied_bytes /
             std::chrono::duration<double>(Clock::now() - begin).count();
  });
  reading =
      hw::measure_read_bandwidth(threads, std::chrono::duration<double>(reading_time).count());
  stop = true;
  copier.join();
  return copied;
}

double peer_bandwidth(Bench& to, Bench& from) {
  return copied_bytes /
         to.seconds([&] { to.queue->copy(to.here.data(), from.here.data(), copied_bytes); });
}

/// Finite numbers, as products of equal ones draw less power than those of a model.
device::Block numbers(Bench& bench) {
  device::Block block = device::alloc(bench.place, product_size * product_size * 2);
  std::vector<uint16_t> some(1 << 20);
  uint32_t state = 1;
  for (auto& number : some) {
    state = state * 1664525u + 1013904223u;
    number = quant::f32_to_bf16(static_cast<float>(static_cast<int32_t>(state)) / 2147483648.0f);
  }
  const size_t bytes = some.size() * 2;
  for (size_t at = 0; at < block.size(); at += bytes)
    bench.queue->copy(block.data() + at, some.data(), std::min(bytes, block.size() - at));
  bench.queue->synchronize();
  return block;
}

double tensor_flops(Bench& bench) {
  const auto weights = numbers(bench), x = numbers(bench);
  const auto y = device::alloc(bench.place, product_size * product_size * 4);
  ops::cuda::MatmulSpace space(*bench.queue);
  const double seconds = bench.seconds([&] {
    ops::cuda::matmul({.w = {weights.data(), quant::Format::bf16, product_size, product_size},
                       .x = x.as<uint16_t>(),
                       .x_stride = product_size,
                       .tokens = product_size,
                       .y = y.as<float>(),
                       .y_stride = product_size},
                      space);
  });
  return 2.0 * product_size * product_size * product_size / seconds;
}

}  // namespace

void measure_gpus(hw::Machine& machine) {
  for (size_t i = 0; i < machine.gpus.size(); ++i) {
    auto& gpu = machine.gpus[i];
    Bench bench(static_cast<int>(i));
    gpu.read_bandwidth = read_bandwidth(bench);
    gpu.copy_bandwidth = copy_bandwidth(bench);
    double reading = 0;
    gpu.copy_while_reading = copy_while_reading(bench, machine.core_count(), reading);
    if (i == 0) machine.read_while_copying = reading;
    gpu.tensor_flops = tensor_flops(bench);
    if (machine.gpus.size() > 1) {
      Bench other(static_cast<int>(i == 0 ? 1 : 0));
      gpu.peer_bandwidth = peer_bandwidth(bench, other);
    }
  }
}

}  // namespace ktx::engine
