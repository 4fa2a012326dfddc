// Graphs captured from a GPU's queue.
// covers: cuda_graph
#include "core/device/graph.hpp"

#include "catch.hpp"
#include "ktx/error.hpp"
#include "support/gpu.hpp"

using namespace ktx::device;
using ktx::test::Gpu;

namespace {

const std::vector<int> first{1, 2, 3, 4}, second{5, 6, 7, 8};
constexpr size_t bytes = 4 * sizeof(int);

}  // namespace

TEST_CASE("the CPU's queue has no graphs") {
  ktx::hw::WorkerPool pool(1);
  const auto queue = make_queue({DeviceKind::cpu}, &pool);
  CHECK_THROWS_AS(capture(*queue, [] {}), ktx::Error);
}

TEST_CASE("a graph does at every launch what was captured, with the numbers of that time") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  Gpu gpu;
  const Block from = gpu.upload(first), between = gpu.poisoned(bytes), to = gpu.poisoned(bytes);
  const auto beside = make_queue(Gpu::place);
  const auto copied = gpu.queue().make_event(), joined = beside->make_event();
  const auto graph = capture(gpu.queue(), [&] {
    gpu.queue().copy(between.data(), from.data(), bytes);
    gpu.queue().record(*copied);
    beside->wait(*copied);
    beside->copy(to.data(), between.data(), bytes);
    beside->record(*joined);
    gpu.queue().wait(*joined);
  });
  REQUIRE(gpu.download<int>(to) == std::vector<int>(4, -1));  // nothing has run yet
  graph->launch();
  REQUIRE(gpu.download<int>(to) == first);
  gpu.queue().copy(from.data(), second.data(), bytes);
  graph->launch();
  REQUIRE(gpu.download<int>(to) == second);
}

TEST_CASE("what can't be captured is an error, and the queue goes on") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  Gpu gpu;
  const Block from = gpu.upload(first), to = gpu.poisoned(bytes);
  const auto other = make_queue(Gpu::place);
  const auto event = other->make_event();
  other->record(*event);
  const std::vector<std::function<void()>> refused{
      [] { alloc(Gpu::place, size_t{1} << 20); }, [&] { gpu.queue().synchronize(); },
      [&] { gpu.queue().wait(*event); },  // is of no capture, and throws nothing itself
      [] { throw std::runtime_error("a submission's own"); }};
  for (size_t i = 0; i < refused.size(); ++i) {
    CAPTURE(i);
    const auto submit = [&] {
      gpu.queue().copy(to.data(), from.data(), bytes);
      refused[i]();
    };
    if (i + 1 < refused.size())
      CHECK_THROWS_AS(capture(gpu.queue(), submit), ktx::Error);
    else
      CHECK_THROWS_AS(capture(gpu.queue(), submit), std::runtime_error);
    REQUIRE_FALSE(gpu.queue().failed());
    REQUIRE(gpu.download<int>(to) == std::vector<int>(4, -1));
  }
  capture(gpu.queue(), [&] { gpu.queue().copy(to.data(), from.data(), bytes); })->launch();
  REQUIRE(gpu.download<int>(to) == first);
}
