// Streaming: blocks of weights are read ahead and packed by all workers, whatever weight they are
// of.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/base/digest.hpp"
#include "core/graph/graph.hpp"
#include "core/hw/worker_pool.hpp"
#include "engine/load/weight_packer.hpp"
#include "loader/checkpoint.hpp"

namespace ktx::engine {

/// One weight to load, and where to.
struct LoadJob {
  const graph::Module* module = nullptr;
  const graph::Weight* weight = nullptr;
  quant::Format format = quant::Format::f32;
  ops::Layout layout = ops::Layout::rows;
  std::vector<Destination> destinations;
};

struct LoadHooks {
  /// Called by the loading thread: a module being packed, and bytes of the checkpoint consumed so
  /// far; at the end once more, with all.
  std::function<void(const graph::Module& module, uint64_t done)> progress;
  /// Called by the worker that packed the last of a job, with a digest of what the job read. Empty:
  /// none is made.
  std::function<void(size_t job, const base::Digest& content)> packed;
};

/// Returns when all is packed. Throws what the source throws, and what hooks throw.
void load_weights(std::span<const LoadJob> jobs, const loader::TensorSource& source,
                  hw::WorkerPool& pool, const LoadHooks& hooks);

/// Bytes of memory that load_weights needs for itself to load a model, at most.
uint64_t loading_bytes(const graph::Model& model, const loader::TensorSource& source, int workers);

}  // namespace ktx::engine
