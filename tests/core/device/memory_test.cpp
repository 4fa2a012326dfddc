// Memory of the CPU and of GPUs, and what is said where there is none.
// covers: no_cuda, cuda_memory, cuda
#include "core/device/memory.hpp"

#include <cstring>

#include "catch.hpp"
#include "core/device/queue.hpp"
#include "ktx/error.hpp"
#include "support/gpu.hpp"

using namespace ktx::device;

TEST_CASE("a block of the CPU is zeroed, aligned, and freed with its owner") {
  for (const Pinned pinned : {Pinned::no, Pinned::yes}) {
    Block block = alloc({DeviceKind::cpu}, size_t{5} << 20, pinned);
    REQUIRE(block.size() == size_t{5} << 20);
    REQUIRE(reinterpret_cast<uintptr_t>(block.data()) % 64 == 0);
    REQUIRE(block.as<int>()[12345] == 0);
    block.as<int>()[12345] = 1;
    const Block moved = std::move(block);
    REQUIRE(moved.as<int>()[12345] == 1);
  }
  REQUIRE(alloc({DeviceKind::cpu}, 0).size() == 0);
}

TEST_CASE("a GPU that is not there is an error of the environment that names it") {
  try {
    alloc({DeviceKind::cuda, 99}, 256);
    FAIL("expected an error");
  } catch (const ktx::Error& error) {
    CHECK(error.category() == ktx::ErrorCategory::environment);
    CHECK(error.message().find("cuda:99") != std::string::npos);
  }
  CHECK_THROWS_AS(make_queue({DeviceKind::cuda, 99}), ktx::Error);
}

TEST_CASE("a GPU's memory holds what is copied to it; too much of it is an error") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  const Place gpu{DeviceKind::cuda, 0};
  const size_t n = size_t{1} << 20;
  for (const Pinned pinned : {Pinned::no, Pinned::yes}) {
    const Block from = alloc({DeviceKind::cpu}, n, pinned), to = alloc({DeviceKind::cpu}, n);
    const Block there = alloc(gpu, n);
    REQUIRE(there.place() == gpu);
    for (size_t i = 0; i < n / 4; ++i)
      from.as<uint32_t>()[i] = static_cast<uint32_t>(i * 2654435761u);
    const auto queue = make_queue(gpu);
    queue->copy(there.data(), from.data(), n);
    queue->copy(to.data(), there.data(), n);
    queue->synchronize();
    REQUIRE(std::memcmp(from.data(), to.data(), n) == 0);
  }
  CHECK_THROWS_AS(alloc(gpu, size_t{1} << 50), ktx::Error);
  const auto queue = make_queue(gpu);  // the error before is not its
  queue->synchronize();
}
