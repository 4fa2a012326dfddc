// What bounds a kernel.
#include "placement/speed.hpp"

#include "catch.hpp"
#include "placement/planner.hpp"
#include "sample.hpp"

using namespace ktx;
using namespace ktx::placement;

TEST_CASE("a kernel takes as long as reading or as computing, whichever is longer") {
  const ops::Efficiency kernel{.read = 0.5, .compute = 0.25, .half_rows = 10, .call = 1};
  const Speed speed{.read = 4, .flops = 8};
  CHECK(seconds(kernel, speed, {.bytes = 6}) == 1 + 3);
  CHECK(seconds(kernel, speed, {.bytes = 6, .flops = 10}) == 1 + 5);
  CHECK(seconds(kernel, speed, {.bytes = 6, .flops = 10, .decoded = 0.2}) == 1 + 6);
  CHECK(seconds(kernel, speed, {.bytes = 6, .flops = 10, .waits = 4}) == 1 + 7);
  CHECK(seconds(kernel, {}, {.bytes = 6, .flops = 10}) == 1);  // nothing is known
}

TEST_CASE("a module of one node is read at its bandwidth, others at that of all, less the links") {
  auto machine = sample::machine(hw::Isa::avx512_vnni, 2);
  machine.read_bandwidth = 100;
  machine.read_while_copying = 80;
  machine.tensor_flops = 1000;
  const auto plan =
      make_plan(sample::rule_list("  - {name: all, match: {name: '.*'}, place: {}}\n"),
                sample::deepseek(), machine, {.threads = 2});
  auto planned = plan.modules.front();
  const auto read = [&](NumaKind kind, bool copying = false) {
    planned.numa = {kind, 0};
    return cpu_speed(plan, planned, {.threads = 4, .copying = copying}).read;
  };
  CHECK(read(NumaKind::node) == 50);
  CHECK(read(NumaKind::replicate) == read(NumaKind::shard));
  CHECK(read(NumaKind::shard) > read(NumaKind::interleave));
  CHECK(read(NumaKind::shard) < 100);
  CHECK(read(NumaKind::shard, true) == Approx(0.8 * read(NumaKind::shard)));
  const auto* slower = ops::find_kernel(graph::Op::linear, "avx2");
  CHECK(cpu_speed(plan, planned, {.threads = 4}).flops == 1000);
  CHECK(cpu_speed(plan, planned, {.threads = 4, .kernel = slower}).flops == 250);
}

TEST_CASE("few threads multiply in proportion, and read what their cores can") {
  auto machine = sample::machine(hw::Isa::avx512_vnni, 2);
  for (auto& node : machine.nodes) node.cores = 16;
  machine.read_bandwidth = 200e9;
  machine.tensor_flops = 32e12;
  const auto plan =
      make_plan(sample::rule_list("  - {name: all, match: {name: '.*'}, place: {}}\n"),
                sample::deepseek(), machine, {});
  auto planned = plan.modules.front();
  planned.numa = {NumaKind::shard, 0};
  const auto with = [&](int threads) { return cpu_speed(plan, planned, {.threads = threads}); };
  CHECK(with(32).flops == 32e12);
  CHECK(with(64).flops == 32e12);
  CHECK(with(8).flops == 8e12);
  CHECK(with(1).flops == 1e12);
  CHECK(with(16).read == with(32).read);
  CHECK(with(1).read < 20e9);
  CHECK(with(2).read == 2 * with(1).read);
  planned.numa = {NumaKind::node, 1};
  CHECK(with(8).flops == 4e12);
  CHECK(with(8).threads == 4);
}
