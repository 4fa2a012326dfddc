// Blocks of memory for the nodes of this box and of machines that are not this box.
#include "engine/load/node_memory.hpp"

#include <cstring>

#include "catch.hpp"
#include "core/base/failure.hpp"

using namespace ktx;
using namespace ktx::engine;

TEST_CASE("blocks are handed out from the front, and no further than they reach") {
  hw::Machine machine;
  machine.nodes = {{.id = 0}, {.id = 1}};
  NodeMemory memory(machine, std::vector<uint64_t>{1024, 64, 128});
  std::byte* first = memory.take(0, 512);
  CHECK(memory.take(0, 512) == first + 512);
  std::byte* other = memory.take(1, 64);
  std::byte* shared = memory.take(NodeMemory::every_node, 128);
  CHECK(other != shared);
  std::memset(first, 1, 1024);
  std::memset(other, 2, 64);
  CHECK(shared[127] == std::byte{0});
  CHECK(test::failure([&] { memory.take(1, 1); }) ==
        "bug a NUMA node's block of memory is too small");
  CHECK(memory.verified() == "not bound: the plan is for another machine");
}

TEST_CASE("on this box, what is in use is found where it was bound") {
  const auto machine = hw::detect_machine();
  std::vector<uint64_t> bytes(machine.nodes.size(), 1 << 20);
  bytes.push_back(0);
  NodeMemory memory(machine, bytes);
  for (size_t n = 0; n < machine.nodes.size(); ++n)
    std::memset(memory.take(static_cast<int>(n), 1 << 20), 1, 1 << 20);
  const auto text = memory.verified();
  INFO(text);
  if (machine.nodes.size() == 1)
    CHECK(text.empty());
  else if (text.rfind("verified", 0) == 0)  // a container may forbid binding, and asking
    CHECK(text.find("1.00 MiB 100 %") != std::string::npos);
  base::Buffer buffer(1 << 20);
  interleave(buffer, machine);
  std::memset(buffer.data(), 1, buffer.size());
}
