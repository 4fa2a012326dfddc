// describe_machine: what this machine has and reaches, as YAML for planning.
#include "engine/bench/detect.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>

#include "core/base/error.hpp"
#include "core/device/gpus.hpp"
#include "core/hw/affinity.hpp"
#include "core/hw/machine.hpp"
#include "engine/bench/gpu_speed.hpp"
#include "ktx/bench.hpp"
#include "ops/kernels.hpp"

namespace ktx {

namespace {

constexpr double reading_seconds = 0.5;

/// Of each node by its own CPUs, and of all together.
void measure_memory(hw::Machine& machine) {
  machine.read_bandwidth = hw::measure_read_bandwidth(machine.core_count(), reading_seconds);
  if (machine.nodes.size() < 2) return;
  for (auto& node : machine.nodes) {
    const hw::CpuGuard here(node.cpus);
    node.read_bandwidth = hw::measure_read_bandwidth(node.cores, reading_seconds);
  }
}

/// Operations/s with experts of Q4_K that have many tokens, from some that have `tokens`.
double measure_products(int threads) {
  constexpr int64_t tokens = 64;
  const auto bench = bench_kernels({.formats = {"q4_k"},
                                    .tokens = {tokens},
                                    .experts = 2 * threads,
                                    .threads = {threads},
                                    .repeat = 3});
  const auto& row = bench.rows.front();
  const auto* kernel = ops::find_kernel(graph::Op::moe, row.kernel);
  const double half = kernel == nullptr ? 0 : kernel->efficiency.half_rows;
  return row.ops_per_second * (1 + half / tokens);
}

/// Bytes/s of reading the file past the kernel's cache; 0: it can't be read so.
double measure_disk(const std::filesystem::path& file) {
  constexpr size_t piece = size_t{8} << 20, alignment = 4096;
  constexpr size_t most = size_t{2} << 30;
  const int fd = ::open(file.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
  if (fd < 0) return 0;
  const std::unique_ptr<void, decltype(&std::free)> buffer(std::aligned_alloc(alignment, piece),
                                                           &std::free);
  const auto begin = std::chrono::steady_clock::now();
  size_t done = 0;
  for (ssize_t got = 1; buffer != nullptr && got > 0 && done < most;
       done += static_cast<size_t>(std::max<ssize_t>(got, 0)))
    got = ::pread(fd, buffer.get(), piece, static_cast<off_t>(done));
  ::close(fd);
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  return done >= piece ? static_cast<double>(done) / time.count() : 0;
}

}  // namespace

hw::Machine engine::measured_machine() {
  auto machine = hw::detect_machine();
  machine.gpus = device::detect_gpus();
  measure_memory(machine);
  machine.tensor_flops = measure_products(machine.core_count());
  engine::measure_gpus(machine);
  return machine;
}

std::string describe_machine(const std::filesystem::path& model_file) {
  auto machine = engine::measured_machine();
  if (!model_file.empty()) machine.disk_bandwidth = measure_disk(model_file);
  return hw::machine_text(machine);
}

}  // namespace ktx
