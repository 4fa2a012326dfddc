// Staging for GPUs, and weights that have come to one: packed anew, or from the cache.
#include "engine/load/gpu_loader.hpp"

#include <cstdint>
#include <filesystem>
#include <vector>

#include "catch.hpp"
#include "engine/access.hpp"
#include "ktx/error.hpp"
#include "ktx/plan.hpp"
#include "loader/checkpoint.hpp"
#include "support/gpu.hpp"
#include "support/reference.hpp"
#include "support/temp_dir.hpp"

using namespace ktx;
using engine::GpuLoader;

namespace {

/// A vector and matrices on a GPU, and one on the CPU; sizes that are no multiples of 256.
struct Sketch {
  Sketch() {
    modules[0].resize(3);
    for (size_t i = 0; i < 3; ++i) {
      auto& weight = modules[0][i];
      weight.place = i == 1 ? device::Place{} : test::Gpu::place;
      weight.count = i == 2 ? 3 : 1;
      weight.rows = weight.cols = 1;
      weight.matrix_bytes = 100;
      part.weights.push_back({});
      part.weights.back().targets.push_back({&weight, 0, 1, {}});
      part.weights.back().job.destinations.push_back({nullptr, 0, 1, 100});
    }
  }
  Sketch(const Sketch&) = delete;  // the part points to the modules

  engine::LoadedModules modules{1};
  engine::Part part;
};

}  // namespace

TEST_CASE("what goes to GPUs is staged, each weight at a multiple of 256 bytes") {
  Sketch sketch, other;
  CHECK(GpuLoader::staged_bytes(sketch.part) == 256 + 512);
  engine::LoadedModules none;
  GpuLoader loader({}, none);
  engine::Part* const parts[] = {&sketch.part, &other.part};
  loader.stage(parts);
  const auto at = [](const Sketch& of, size_t i) {
    return of.part.weights[i].job.destinations[0].data;
  };
  REQUIRE(at(sketch, 0) != nullptr);
  CHECK(at(sketch, 1) == nullptr);  // the CPU's
  CHECK(at(sketch, 2) - at(sketch, 0) == 256);
  CHECK(at(other, 0) - at(sketch, 2) == 512);
  CHECK(at(other, 2) - at(other, 0) == 256);
  // The memory is used again.
  const auto* before = at(sketch, 0);
  engine::Part* const second[] = {&other.part};
  loader.stage(second);
  CHECK(at(other, 0) == before);
}

TEST_CASE("weights on a GPU that nobody gave a queue of are a bug") {
  Sketch sketch;
  CHECK_THROWS_AS(GpuLoader({}, sketch.modules), Error);
  CHECK(GpuLoader::staged_bytes(engine::Part{}) == 0);
}

TEST_CASE("cuda: weights on a GPU have the CPU's bytes, packed anew and from the cache") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  const auto plan_of = [](const char* place) {
    const test::TempDir folder;
    const auto file = folder.write(
        "rules.yaml", std::string("ktx: 1\nrules:\n"
                                  "  - {name: experts, match: {class: moe.experts}, place: ") +
                          place +
                          "}\n  - {name: rest, match: {name: '.*'}, place: {device: cpu}}\n");
    return engine::Access::details(
        make_plan({.model = test::shipped_model, .rules = file, .threads = 2}));
  };
  const auto source = loader::open_checkpoint(test::shipped_model);
  const test::TempDir cache;
  hw::WorkerPool pool(2);
  test::Gpu gpu;
  const auto cpu_plan = plan_of("{device: cpu}");
  const engine::Weights on_cpu(cpu_plan, *source, pool, {});
  int compared = 0;
  // What each start packs the next ones find in the cache: the entries are the same.
  for (const char* place :
       {"{device: cpu, experts: {list: [1, 5, 30], on: cuda:0}}", "{device: cpu}",
        "{device: cpu, experts: {list: [1, 2], on: cuda:0, keep_ram: yes}}"}) {
    INFO(place);
    const bool first = compared == 0;
    const auto plan = plan_of(place);
    engine::Weights weights(plan, *source, pool, {.cache = cache.path(), .gpus = {&gpu.queue()}});
    weights.finish_cache();
    CHECK((weights.source_bytes() > 0) == first);
    for (const auto& planned : plan.modules)
      for (const auto& weight : planned.weights) {
        const auto& expected = on_cpu.get(planned.module, weight.role);
        for (const auto where : {device::Place{}, test::Gpu::place}) {
          const auto* loaded = weights.find(planned.module, weight.role, where);
          if (loaded == nullptr) continue;
          REQUIRE(loaded->layout == expected.layout);
          REQUIRE(loaded->matrix_bytes == expected.matrix_bytes);
          std::vector<std::byte> got(static_cast<size_t>(loaded->matrix_bytes));
          for (int64_t i = 0; i < loaded->held_count(); ++i, ++compared) {
            gpu.queue().copy(got.data(), loaded->data + i * loaded->matrix_bytes, got.size());
            gpu.queue().synchronize();
            CHECK(std::equal(got.begin(), got.end(),
                             expected.data + loaded->matrix(i) * expected.matrix_bytes));
          }
        }
      }
  }
  CHECK(compared > 0);
}
