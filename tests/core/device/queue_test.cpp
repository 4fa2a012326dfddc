// Queues of the CPU and of GPUs, and events between them.
// covers: cuda_queue
#include "core/device/queue.hpp"

#include <cstring>

#include "catch.hpp"
#include "core/device/memory.hpp"
#include "support/gpu.hpp"

using namespace ktx::device;

TEST_CASE("a queue of the CPU has done what was submitted") {
  ktx::hw::WorkerPool pool(2);
  const auto queue = make_queue({DeviceKind::cpu}, &pool);
  REQUIRE(queue->place() == Place{DeviceKind::cpu});
  REQUIRE(queue->pool() == &pool);
  char to[4];
  queue->copy(to, "ktx", 4);
  REQUIRE(std::strcmp(to, "ktx") == 0);
  const auto event = queue->make_event();
  queue->record(*event);
  queue->wait(*event);
  REQUIRE(event->passed());
  REQUIRE_FALSE(queue->failed());
  queue->synchronize();
}

TEST_CASE("a queue waits for what another one has recorded") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  const Place gpu{DeviceKind::cuda, 0}, cpu{DeviceKind::cpu};
  const size_t n = size_t{64} << 20;
  const Block from = alloc(cpu, n, Pinned::yes), to = alloc(cpu, n, Pinned::yes);
  const Block first = alloc(gpu, n), second = alloc(gpu, n);
  std::memset(from.data(), 7, n);
  ktx::hw::WorkerPool pool(1);
  const auto a = make_queue(gpu), b = make_queue(gpu), host = make_queue(cpu, &pool);
  const auto filled = a->make_event(), copied = b->make_event(), ready = host->make_event();
  REQUIRE(filled->passed());
  host->record(*ready);
  a->wait(*ready);
  a->copy(first.data(), from.data(), n);
  a->record(*filled);
  b->wait(*filled);
  b->copy(second.data(), first.data(), n);
  b->copy(to.data(), second.data(), n);
  b->record(*copied);
  REQUIRE_FALSE(b->failed());  // which does not wait
  host->wait(*copied);         // makes the caller wait
  REQUIRE(copied->passed());
  REQUIRE(std::memcmp(from.data(), to.data(), n) == 0);
}
