// The read bandwidth of this box's memory, measured.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <numeric>
#include <vector>

#include "core/base/buffer.hpp"
#include "core/base/error.hpp"
#include "core/hw/machine.hpp"
#include "core/hw/worker_pool.hpp"

namespace ktx::hw {

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t line = 64;
constexpr size_t prefetch_distance = 4096;
constexpr size_t block = size_t{1} << 20;  // read between two looks at the clock
constexpr size_t least_buffer = size_t{32} << 20, most_buffer = size_t{1} << 30;
constexpr int windows = 3;  // the best counts: other programs only ever slow the others down

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
  double bytes_per_second = 0;
};

void read_for(Reader& reader, Clock::duration time) noexcept {
  const auto start = Clock::now();
  auto now = start;
  double bytes = 0;
  do {
    reader.checksum += sum_lines(reader.buffer.data() + reader.at, block);
    reader.at = (reader.at + block) % reader.buffer.size();
    bytes += block;
    now = Clock::now();
  } while (now - start < time);
  reader.bytes_per_second = bytes / std::chrono::duration<double>(now - start).count();
}

// The CPUs in the order in which threads take them: first hardware threads first, nodes in turn.
std::vector<int> spread(const Machine& machine) {
  std::vector<int> cpus;
  for (size_t i = 0, added = 1; added > 0; ++i) {
    added = 0;
    for (const auto& node : machine.nodes)
      if (i < node.cpus.size()) {
        cpus.push_back(node.cpus[i]);
        ++added;
      }
  }
  return cpus;
}

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
  WorkerPool pool(threads, spread(machine));
  pool.run([&](int worker) noexcept {  // pages come from the node of the thread that first writes
    auto& reader = readers[static_cast<size_t>(worker)];
    std::memset(reader.buffer.data(), worker + 1, size);
  });
  double best = 0;
  const auto window =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds / windows));
  for (int i = 0; i < windows; ++i) {
    pool.run([&](int worker) noexcept { read_for(readers[static_cast<size_t>(worker)], window); });
    double sum = 0;
    for (const auto& reader : readers) sum += reader.bytes_per_second;
    best = std::max(best, sum);
  }
  return best;
}

}  // namespace ktx::hw
