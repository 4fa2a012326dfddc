// Tables of rotary embeddings: one for all layers with the same rotation, in the memory of every
// place that needs it.
#pragma once

#include <memory>
#include <vector>

#include "core/device/memory.hpp"
#include "core/graph/op.hpp"
#include "engine/run/devices.hpp"
#include "ops/attention/rope.hpp"

namespace ktx::engine {

struct PlacedRope {
  graph::Rope rope;
  ops::RopeTable table;
  std::vector<device::Block> on_gpus;  // [places] its numbers; empty where nothing reads it
};

bool same_rope(const graph::Rope& a, const graph::Rope& b);
/// The rotation of an attention node; null for other nodes.
const graph::Rope* rope_of(const graph::OpParams& params);

class RopeTables {
 public:
  /// devices: of the places; null: the CPU alone.
  RopeTables(int64_t positions, const Devices* devices)
      : positions_(positions), devices_(devices) {}

  /// The address stays valid. Throws environment error when a GPU has too little memory.
  const PlacedRope& get(const graph::Rope& rope, int place);

 private:
  int64_t positions_;
  const Devices* devices_;
  std::vector<std::unique_ptr<PlacedRope>> ropes_;
};

}  // namespace ktx::engine
