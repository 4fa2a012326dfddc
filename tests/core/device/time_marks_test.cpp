// Times of a GPU's work on the CPU's clock.
// covers: cuda_time_marks
#include "core/device/time_marks.hpp"

#include "catch.hpp"
#include "core/device/graph.hpp"
#include "ktx/error.hpp"
#include "support/gpu.hpp"

using namespace ktx::device;
using ktx::test::Gpu;
using Clock = TimeMarks::Clock;

TEST_CASE("the CPU's queue has no marks") {
  ktx::hw::WorkerPool pool(1);
  const auto queue = make_queue({DeviceKind::cpu}, &pool);
  CHECK_THROWS_AS(make_time_marks(*queue), ktx::Error);
}

TEST_CASE("marks come in the order of the work, between the CPU's times around it") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  Gpu gpu;
  const auto marks = make_time_marks(gpu.queue());
  const std::vector<int> numbers(1 << 20, 1);
  const auto begun = Clock::now();
  const int first = marks->mark(gpu.queue());
  const Block there = gpu.upload(numbers);
  const int second = marks->mark(gpu.queue());
  gpu.queue().synchronize();
  const auto ended = Clock::now();
  CHECK(first == 0);
  CHECK(second == 1);
  CHECK(marks->time(first) < marks->time(second));
  CHECK(marks->time(first) + marks->error() >= begun);
  CHECK(marks->time(second) - marks->error() <= ended);
  marks->keep(1);
  CHECK(marks->mark(gpu.queue()) == 1);
}

TEST_CASE("marks of a graph are passed anew by every launch") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  Gpu gpu;
  const auto marks = make_time_marks(gpu.queue());
  const Block from = gpu.upload(std::vector<int>(1 << 20, 1)), to = gpu.poisoned(from.size());
  const auto graph = capture(gpu.queue(), [&] {
    marks->mark(gpu.queue());
    gpu.queue().copy(to.data(), from.data(), from.size());
    marks->mark(gpu.queue());
  });
  REQUIRE(marks->count() == 2);
  auto before = Clock::now();
  for (int launch = 0; launch < 2; ++launch) {
    marks->align();
    graph->launch();
    gpu.queue().synchronize();
    CHECK(marks->time(0) + marks->error() >= before);
    CHECK(marks->time(0) < marks->time(1));
    before = Clock::now();
    CHECK(marks->time(1) - marks->error() <= before);
  }
}
