// Memory on NUMA nodes: binding ranges of it, and asking the kernel where its pages lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ktx::hw {

/// Binds the pages of a range, which begins at a page and has not been touched yet, to a node (the
/// operating system's number). Returns why the kernel refused, or nothing. Where there is one node
/// only, as in a kernel without NUMA, nothing can be bound and nothing needs to be.
std::string bind_to_node(std::span<std::byte> range, int node);

/// The same with the pages dealt out to the nodes in turn: pages of 2 MiB where the range gets
/// those, else of 4 KiB.
std::string interleave(std::span<std::byte> range, std::span<const int> nodes);

struct NodePages {
  int node = 0;
  uint64_t pages = 0;
};

/// Where the pages of a range lie that are in memory, by node; of large ranges an evenly spread
/// sample of about `samples` pages. Empty when the kernel does not tell.
std::vector<NodePages> locate_pages(std::span<const std::byte> range, size_t samples = 4096);

}  // namespace ktx::hw
