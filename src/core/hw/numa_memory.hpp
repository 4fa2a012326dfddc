// NUMA memory: binding ranges to nodes, and asking the kernel where pages are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ktx::hw {

/// Binds a range that begins at a page boundary and has not been touched yet to a node (by the
/// operating system's number). Returns why the kernel refused, or an empty string. Succeeds without
/// binding if there is only one node or the kernel has no NUMA support.
std::string bind_to_node(std::span<std::byte> range, int node);

/// The same, with the pages spread over the nodes in turn: in units of 2 MiB if the range gets huge
/// pages, else of 4 KiB.
std::string interleave(std::span<std::byte> range, std::span<const int> nodes);

struct NodePages {
  int node = 0;
  uint64_t pages = 0;
};

/// On which nodes the resident pages of a range are; for large ranges, an evenly spread sample of
/// about `samples` pages. Empty when the kernel does not say.
std::vector<NodePages> locate_pages(std::span<const std::byte> range, size_t samples = 4096);

}  // namespace ktx::hw
