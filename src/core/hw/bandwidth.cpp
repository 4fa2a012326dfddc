// Measures the read bandwidth of this machine's memory.
#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <span>
#include <vector>

#include "core/base/buffer.hpp"
#include "core/base/error.hpp"
#include "core/hw/affinity.hpp"
#include "core/hw/best_rate.hpp"
#include "core/hw/machine.hpp"
#include "core/hw/worker_pool.hpp"

namespace ktx::hw {

namespace {

constexpr size_t line = 64;
constexpr size_t prefetch_distance = 4096;
constexpr size_t block = size_t{1} << 20;  // read between two looks at the clock
constexpr size_t least_buffer = size_t{32} << 20, most_buffer = size_t{1} << 30;

// Reads one word of each line, so that the whole line comes from memory at the price of one load:
// more lines are under way at once than when every byte is loaded (measured: twice the rate of one
// thread). With the prefetch it equals 64-byte vector loads. `bytes` is a multiple of eight lines.
uint64_t sum_lines(const std::byte* data, size_t bytes) noexcept {
  std::array<uint64_t, 8> sums{};
  for (size_t at = 0; at < bytes; at += sums.size() * line)
    for (size_t i = 0; i < sums.size(); ++i) {
      const std::byte* word_at = data + at + i * line;
      uint64_t word = 0;
      std::memcpy(&word, word_at, sizeof word);
      __builtin_prefetch(word_at + prefetch_distance);
      sums[i] += word;
    }
  return std::accumulate(sums.begin(), sums.end(), uint64_t{0});
}

struct alignas(64) Reader {
  base::Buffer buffer;
  size_t at = 0;
  uint64_t checksum = 0;  // keeps the reads from being optimised away

  double read_block() noexcept {
    checksum += sum_lines(buffer.data() + at, block);
    at = (at + block) % buffer.size();
    return block;
  }
};

// All buffers together are four times the last-level caches.
size_t buffer_bytes(const Machine& machine, size_t threads) {
  const uint64_t caches = machine.l3_bytes * machine.nodes.size();  // at most one package a node
  const uint64_t memory = machine.memory_bytes() / 4 / threads;
  const uint64_t wanted = std::clamp<uint64_t>(4 * caches / threads, least_buffer, most_buffer);
  return static_cast<size_t>(std::max<uint64_t>(std::min(wanted, memory) / block, 1) * block);
}

}  // namespace

double measure_read_bandwidth(int threads, double seconds) {
  require(threads >= 1 && seconds > 0, "read bandwidth needs a thread and a time");
  const auto machine = detect_machine();
  const size_t size = buffer_bytes(machine, static_cast<size_t>(threads));
  std::vector<Reader> readers(static_cast<size_t>(threads));
  for (auto& reader : readers) reader.buffer = base::Buffer(size, true);
  const auto cpus = spread_cpus(machine);
  WorkerPool pool(threads, cpus);
  const CpuGuard pinned{std::span<const int>(cpus).first(1)};
  pool.run([&](int worker) noexcept {  // pages come from the node of the thread that first writes
    auto& reader = readers[static_cast<size_t>(worker)];
    std::memset(reader.buffer.data(), worker + 1, size);
  });
  return best_rate(pool, seconds, [&](int worker) noexcept {
    return readers[static_cast<size_t>(worker)].read_block();
  });
}

}  // namespace ktx::hw
