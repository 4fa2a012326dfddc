// The memory of a model's weights: a block on each NUMA node and one that is interleaved over all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/buffer.hpp"
#include "core/hw/machine.hpp"

namespace ktx::engine {

/// Deals a buffer's pages out to the nodes of the machine, for memory that all of them use. Nothing
/// happens on a machine of one node, or one that is not this box.
void interleave(base::Buffer& buffer, const hw::Machine& machine);

class NodeMemory {
 public:
  /// Index of the interleaved block.
  static constexpr int every_node = -1;

  NodeMemory() = default;
  /// bytes: one block a node of the machine, and at last the interleaved one. On a machine that is
  /// not this box the blocks are as many, but lie anywhere. A kernel that refuses to bind is logged
  /// as a warning. Throws environment error when there is not enough memory.
  NodeMemory(const hw::Machine& machine, std::span<const uint64_t> bytes);

  /// The next unused bytes of a block; node: index into machine.nodes, or every_node.
  std::byte* take(int node, uint64_t bytes);

  /// The blocks' memory, those that are empty left out.
  std::vector<std::span<std::byte>> blocks() noexcept;

  /// Where the pages that are in use lie, as the kernel says: "node 0 12.3 GiB 100 %; node 1 …".
  /// Empty on a machine of one node.
  std::string verified() const;

 private:
  struct Block {
    base::Buffer memory;
    uint64_t used = 0;
    std::vector<int> nodes;  // that it is to lie on: the operating system's numbers
  };
  std::vector<Block> blocks_;  // the last one is interleaved
  std::string unbound_;        // why the blocks were not bound
};

}  // namespace ktx::engine
