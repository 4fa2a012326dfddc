// Memory for a model's weights: a block on each NUMA node, and one that is interleaved over all
// nodes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/buffer.hpp"
#include "core/hw/machine.hpp"

namespace ktx::engine {

/// Spreads a buffer's pages over the nodes of the machine, for memory that all of them use. Does
/// nothing if the machine has one node or is not this one.
void interleave(base::Buffer& buffer, const hw::Machine& machine);

class NodeMemory {
 public:
  /// Index of the interleaved block.
  static constexpr int every_node = -1;

  NodeMemory() = default;
  /// bytes: the size of each node's block, then of the interleaved one. If the machine is not this
  /// one, there are as many blocks, but they are not bound. If the kernel refuses to bind memory,
  /// that is logged as a warning. Throws environment error when memory is short.
  NodeMemory(const hw::Machine& machine, std::span<const uint64_t> bytes);

  /// Takes the next unused bytes of a block. node: index into machine.nodes, or every_node.
  std::byte* take(int node, uint64_t bytes);

  /// The memory of all blocks that are not empty.
  std::vector<std::span<std::byte>> blocks() noexcept;

  /// Where the used pages are according to the kernel: "node 0 12.3 GiB 100 %; node 1 …". Empty on
  /// a machine with one node.
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
