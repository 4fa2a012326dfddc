// Binding memory to the nodes this box has, and finding it there.
#include "core/hw/numa_memory.hpp"

#include <cstring>

#include "catch.hpp"
#include "core/base/buffer.hpp"
#include "core/hw/machine.hpp"

using namespace ktx;
using namespace ktx::hw;

namespace {

constexpr size_t page = 4096;

std::vector<int> node_ids() {
  std::vector<int> ids;
  for (const auto& node : detect_machine().nodes) ids.push_back(node.id);
  return ids;
}

uint64_t pages_of(const std::vector<NodePages>& found) {
  uint64_t sum = 0;
  for (const auto& node : found) sum += node.pages;
  return sum;
}

// A kernel or a container may forbid asking or binding; then it says so, and that is all there is
// to see.
bool tells_pages(const base::Buffer& touched) {
  return !locate_pages({touched.data(), touched.size()}).empty();
}

}  // namespace

TEST_CASE("what is bound to a node lies there") {
  for (const int node : node_ids())
    for (const bool huge : {false, true}) {
      base::Buffer memory(64 * page + 100, huge);
      const auto refusal = bind_to_node(memory.bytes(), node);
      std::memset(memory.data(), 1, memory.size());
      if (!refusal.empty() || !tells_pages(memory)) SKIP("this kernel does not bind: " << refusal);
      const auto found = locate_pages({memory.data(), memory.size()});
      REQUIRE(found.size() == 1);
      REQUIRE(found[0].node == node);
      REQUIRE(found[0].pages == 65);
    }
}

TEST_CASE("interleaved pages lie on all nodes") {
  const auto nodes = node_ids();
  base::Buffer memory(64 * page * nodes.size());
  const auto refusal = interleave(memory.bytes(), nodes);
  std::memset(memory.data(), 1, memory.size());
  if (!refusal.empty() || !tells_pages(memory))
    SKIP("this kernel does not interleave: " << refusal);
  const auto found = locate_pages({memory.data(), memory.size()});
  REQUIRE(found.size() == nodes.size());
  for (const auto& node : found) REQUIRE(node.pages == 64);
}

TEST_CASE("a large range is sampled, and pages that were never written lie nowhere") {
  base::Buffer memory(1000 * page);
  std::memset(memory.data(), 1, 500 * page);
  if (!tells_pages(memory)) SKIP("this kernel does not tell where pages lie");
  REQUIRE(pages_of(locate_pages({memory.data(), memory.size()})) == 500);
  REQUIRE(pages_of(locate_pages({memory.data(), memory.size()}, 100)) == 50);
  REQUIRE(pages_of(locate_pages({memory.data(), memory.size()}, 1)) == 1);
  REQUIRE(locate_pages({memory.data() + 500 * page, 500 * page}).empty());
  REQUIRE(locate_pages({}).empty());
}

TEST_CASE("nodes that do not exist are refused with a reason") {
  base::Buffer memory(page);
  REQUIRE(bind_to_node(memory.bytes(), -1) == "there is no NUMA node -1");
  REQUIRE(bind_to_node(memory.bytes(), 1'000'000) == "there is no NUMA node 1000000");
  REQUIRE(bind_to_node(memory.bytes(), 1023) != "");
  REQUIRE(bind_to_node({}, 0) == "");
}
