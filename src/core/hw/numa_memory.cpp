// NUMA memory through Linux's mbind and move_pages (man pages mbind(2), move_pages(2)).
#include "core/hw/numa_memory.hpp"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

namespace ktx::hw {

namespace {

constexpr size_t most_nodes = 1024;  // MAX_NUMNODES of the kernels that distributions ship
constexpr size_t word_bits = sizeof(unsigned long) * CHAR_BIT;
using NodeMask = std::array<unsigned long, most_nodes / word_bits>;

size_t page_bytes() noexcept {
  return static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

std::string set_policy(std::span<std::byte> range, int policy, std::span<const int> nodes) {
  if (range.empty()) return "";
  NodeMask mask{};
  for (const int node : nodes) {
    if (node < 0 || static_cast<size_t>(node) >= most_nodes)
      return "there is no NUMA node " + std::to_string(node);
    mask[static_cast<size_t>(node) / word_bits] |= 1ul << static_cast<size_t>(node) % word_bits;
  }
  // The kernel reads one bit less than it is told.
  if (::syscall(SYS_mbind, range.data(), range.size(), policy, mask.data(), most_nodes + 1, 0) == 0)
    return "";
  if (errno == ENOSYS && nodes.size() == 1 && nodes.front() == 0) return "";  // no NUMA: node 0
  return std::string("mbind: ") + std::strerror(errno) +
         (errno == EPERM ? " (in a container: give it CAP_SYS_NICE)" : "");
}

}  // namespace

std::string bind_to_node(std::span<std::byte> range, int node) {
  return set_policy(range, MPOL_BIND, {&node, 1});
}

std::string interleave(std::span<std::byte> range, std::span<const int> nodes) {
  return set_policy(range, MPOL_INTERLEAVE, nodes);
}

std::vector<NodePages> locate_pages(std::span<const std::byte> range, size_t samples) {
  const size_t page = page_bytes(), pages = (range.size() + page - 1) / page;
  if (pages == 0 || samples == 0) return {};
  const size_t step = (pages + samples - 1) / samples;
  std::vector<void*> at;
  for (size_t i = 0; i < pages; i += step)
    at.push_back(const_cast<std::byte*>(range.data() + i * page));
  std::vector<int> status(at.size(), -ENOENT);
  // Without a list of nodes nothing moves: `status` tells each page's node, or why it has none.
  if (::syscall(SYS_move_pages, 0, at.size(), at.data(), nullptr, status.data(), 0) != 0) return {};
  std::vector<NodePages> found;
  for (const int node : status) {
    if (node < 0) continue;  // not in memory
    const auto known = std::find_if(found.begin(), found.end(),
                                    [node](const auto& count) { return count.node == node; });
    if (known == found.end())
      found.push_back({node, 1});
    else
      ++known->pages;
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.node < b.node; });
  return found;
}

}  // namespace ktx::hw
