// The weights of a model in memory, packed as the plan says: loaded, or mapped from the cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/base/mapped_file.hpp"
#include "core/device/memory.hpp"
#include "core/device/queue.hpp"
#include "core/hw/worker_pool.hpp"
#include "engine/load/node_memory.hpp"
#include "engine/load/weight_cache.hpp"
#include "loader/checkpoint.hpp"
#include "ops/matmul/matmul.hpp"
#include "placement/plan.hpp"

namespace ktx::engine {

/// Memory is pinned in pieces that meet at multiples of this address. CUDA refuses a copy from two
/// of them.
constexpr size_t pinned_piece = size_t{1} << 30;

/// Matrices [rows, cols] in the memory of a place.
struct LoadedWeight {
  std::string_view role;
  device::Place place;  // every node of the CPU, or a GPU
  quant::Format format = quant::Format::f32;
  ops::Layout layout = ops::Layout::rows;
  int64_t count = 1, rows = 0, cols = 0;  // count: of the model
  std::vector<int32_t> slots;  // [count] their numbers here, -1: not here; empty: all are
  std::vector<int32_t> held;   // where slots says it: which lie here, ascending
  /// The matrices, each matrix_bytes after the one before; null where no node holds all of them.
  const std::byte* data = nullptr;
  int64_t matrix_bytes = 0;
  /// What each node of the plan's machine holds; empty where all share `data`.
  std::vector<ops::NodeRows> nodes;

  bool is_on_gpu() const noexcept { return place.kind == device::DeviceKind::cuda; }
  const float* floats() const noexcept { return reinterpret_cast<const float*>(data); }
  int64_t held_count() const noexcept {
    return slots.empty() ? count : static_cast<int64_t>(held.size());
  }
  /// Which of the model's matrices the i-th one here is.
  int64_t matrix(int64_t i) const noexcept {
    return slots.empty() ? i : held[static_cast<size_t>(i)];
  }
};

struct WeightOptions {
  /// Where packed weights are kept; empty: nowhere.
  std::filesystem::path cache;
  /// Called from the loading thread. done and total: bytes of the checkpoint that had to be read.
  std::function<void(const std::string& module, uint64_t done, uint64_t total)> progress;
  /// A queue of every GPU that the plan names.
  std::vector<device::Queue*> gpus;
};

struct Part;
class GpuLoader;

/// Of each module of the model what every device holds of it.
using LoadedModules = std::vector<std::vector<LoadedWeight>>;

/// All weights. What is packed anew lies in a block of memory for each NUMA node, so that large
/// pages serve even small models; what the cache holds is mapped, or copied where there are several
/// nodes, or GPUs.
class Weights {
 public:
  /// Reads every planned module once, quantizing and packing on all workers (weight_loader.hpp),
  /// but for those that the cache holds. Throws what the source throws, environment when memory
  /// runs out.
  Weights(const placement::Plan& plan, const loader::TensorSource& source, hw::WorkerPool& pool,
          const WeightOptions& options);

  /// Shapes and formats alone, without memory: enough to measure what kernels need besides.
  explicit Weights(const placement::Plan& plan);

  /// A module's weight by role on a device, or nullptr. module: index into plan.model.modules.
  const LoadedWeight* find(int module, std::string_view role,
                           device::Place place = {}) const noexcept;
  /// The same, for weights the op cannot do without.
  const LoadedWeight& get(int module, std::string_view role, device::Place place = {}) const;

  const NodeMemory& memory() const noexcept { return memory_; }
  uint64_t bytes() const noexcept { return bytes_; }                // in memory, packed
  uint64_t cached_bytes() const noexcept { return cached_bytes_; }  // of these from the cache
  uint64_t source_bytes() const noexcept { return source_bytes_; }  // read from the checkpoint

  /// The cache is written behind: waits until it holds what was packed (WeightCache::finish). What
  /// is not written when the weights go away is left for another start.
  void finish_cache(const WeightCache::Progress& progress = {}) {
    if (cache_) cache_->finish(progress);
  }

 private:
  void load_missing(const std::vector<Part*>& missing, const loader::TensorSource& source,
                    hw::WorkerPool& pool, const WeightOptions& options, GpuLoader& gpus);
  void pin_memory();
  void bring_into_memory();

  LoadedModules modules_;
  NodeMemory memory_;
  std::vector<device::Block> gpu_memory_;
  std::vector<device::Pin> pins_;  // of memory_: end before it
  std::vector<base::MappedFile> mapped_;
  uint64_t bytes_ = 0, cached_bytes_ = 0, source_bytes_ = 0;
  std::vector<std::jthread> populating_;  // end before the mappings do
  std::optional<WeightCache> cache_;      // ends before the memory that it writes from does
};

}  // namespace ktx::engine
