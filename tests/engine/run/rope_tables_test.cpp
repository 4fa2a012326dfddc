// One table for all layers that rotate alike.
#include "engine/run/rope_tables.hpp"

#include "catch.hpp"
#include "support/gpu.hpp"

using namespace ktx;
using engine::RopeTables;

namespace {

const graph::Rope short_rope{.frequency = {1, 0.1f}}, long_rope{.frequency = {1, 0.5f, 0.25f}};

}  // namespace

TEST_CASE("layers that rotate alike share a table, which stays where it is") {
  RopeTables tables(16, nullptr);
  const auto& first = tables.get(short_rope, 0);
  std::vector<const engine::PlacedRope*> others;
  graph::Rope changed = short_rope;
  changed.interleaved = true;
  others.push_back(&tables.get(changed, 0));
  changed = short_rope;
  changed.magnitude = 1.5f;
  others.push_back(&tables.get(changed, 0));
  changed = short_rope;
  changed.frequency[1] = 0.2f;
  others.push_back(&tables.get(changed, 0));
  others.push_back(&tables.get(long_rope, 0));
  for (const auto* other : others) CHECK(other != &first);
  CHECK(&tables.get(graph::Rope(short_rope), 0) == &first);
  CHECK(&tables.get(changed, 0) == others[2]);
  CHECK(first.on_gpus.empty());
}

TEST_CASE("a table is that of the rope, for all positions of the plan") {
  RopeTables tables(16, nullptr);
  const auto& placed = tables.get(long_rope, 0);
  CHECK(placed.table.positions() == 16);
  CHECK(placed.table.cos_sin() == ops::RopeTable(long_rope, 16).cos_sin());
  CHECK(engine::same_rope(placed.rope, long_rope));
}

TEST_CASE("attention has a rope, other nodes have none") {
  const graph::MlaParams mla{.rotary = long_rope};
  const graph::GqaParams gqa{.rotary = short_rope};
  const graph::OpParams of_mla = mla, of_gqa = gqa, of_norm = graph::NormParams{};
  REQUIRE(engine::rope_of(of_mla) != nullptr);
  CHECK(engine::same_rope(*engine::rope_of(of_mla), long_rope));
  REQUIRE(engine::rope_of(of_gqa) != nullptr);
  CHECK(engine::same_rope(*engine::rope_of(of_gqa), short_rope));
  CHECK(engine::rope_of(of_norm) == nullptr);
}

TEST_CASE("cuda: a GPU where a layer rotates has the table's numbers once") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  hw::WorkerPool pool(1);
  const engine::Devices devices({device::Place{}, test::Gpu::place}, pool);
  RopeTables tables(16, &devices);
  const auto& placed = tables.get(long_rope, 0);
  REQUIRE(placed.on_gpus.size() == 2);
  CHECK(placed.on_gpus[1].size() == 0);
  CHECK(&tables.get(long_rope, 1) == &placed);
  const auto* data = placed.on_gpus[1].data();
  tables.get(long_rope, 1);
  CHECK(placed.on_gpus[1].data() == data);
  CHECK(placed.on_gpus[0].size() == 0);
  test::Gpu gpu;
  CHECK(gpu.download<float>(placed.on_gpus[1]) == placed.table.cos_sin());
}
