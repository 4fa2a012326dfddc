// Streams weights into memory: blocks of all weights are read ahead and packed by all workers.
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
  /// Called by the loading thread with the module being packed and the bytes of the checkpoint
  /// consumed so far, and a last time when everything is packed.
  std::function<void(const graph::Module& module, uint64_t done)> progress;
  /// Called by the worker that packed the last block of a job, with a digest of what the job read.
  /// Empty: no digest is computed.
  std::function<void(size_t job, const base::Digest& content)> packed;
};

/// Returns when everything is packed. Throws what the source and the hooks throw.
void load_weights(std::span<const LoadJob> jobs, const loader::TensorSource& source,
                  hw::WorkerPool& pool, const LoadHooks& hooks);

/// The most memory in bytes that load_weights itself needs to load a model.
uint64_t loading_bytes(const graph::Model& model, const loader::TensorSource& source, int workers);

}  // namespace ktx::engine
