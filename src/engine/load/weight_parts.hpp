// What is loaded together: the weights that one rule placed in one layer, where each is to lie, and
// how the cache's entry of them is laid out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/digest.hpp"
#include "engine/load/weight_loader.hpp"
#include "engine/load/weights.hpp"
#include "placement/plan.hpp"

namespace ktx::engine {

/// One weight on its way to a device.
struct Target {
  LoadedWeight* weight = nullptr;  // gets its memory's address
  size_t first = 0, count = 0;     // of the job's destinations
  std::vector<int> nodes;          // of the CPU: each destination's, or placement::WeightPart's
};

/// One weight of the checkpoint, to one device or to several.
struct PartWeight {
  LoadJob job;
  std::vector<Target> targets;

  /// Rows that the cache's entry holds together: those of a NUMA node's shard, of several copies
  /// one.
  std::vector<Destination> shards() const;
  uint64_t bytes_of(const Destination& to) const;
  uint64_t entry_bytes() const;
};

/// What one rule placed in one layer, in one format and layout. It is one entry of the cache, so
/// that a rules file in which one rule has changed finds what the others placed, wherever it placed
/// them. The entry holds the weights one after another, of each a shard after the other, of each
/// all matrices.
struct Part {
  std::vector<PartWeight> weights;
  uint64_t bytes = 0;  // of the entry
  base::Digest state;

  std::vector<const LoadJob*> jobs() const;
};

/// modules: one list a module of the model; gets the weights of the planned ones, without memory.
std::vector<Part> parts_of(const placement::Plan& plan, LoadedModules& modules);

/// A piece of an entry and where it is in memory.
struct EntryPiece {
  std::byte* data;
  uint64_t bytes;
};
/// An entry's bytes in order, from the first memory that has each.
std::vector<EntryPiece> entry_pieces(const Part& part);
/// Calls copy(to, offset in the entry, bytes) for everything that the part's memory is to hold.
void each_copy(const Part& part,
               const std::function<void(std::byte* to, uint64_t offset, uint64_t bytes)>& copy);

}  // namespace ktx::engine
