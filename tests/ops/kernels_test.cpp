// The kernels of every op as placement sees them.
#include "ops/kernels.hpp"

#include "catch.hpp"

using namespace ktx;
using quant::Format;

namespace {

graph::Module experts_module() {
  graph::Module module;
  module.path = "model.layers.3.mlp.experts";
  module.op = "moe";
  for (const char* role : {"gate", "up"})
    module.weights.push_back({.role = role, .count = 4, .rows = 96, .cols = 256});
  module.weights.push_back({.role = "down", .count = 4, .rows = 256, .cols = 96});
  return module;
}

const ops::KernelRow& row(graph::Op op, std::string_view name) {
  for (const auto& kernel : ops::kernels(op))
    if (kernel.name == name) return kernel;
  FAIL("no kernel " << name);
  return ops::kernels(op).front();
}

std::string refusal(std::string_view name, const graph::Module& module,
                    const std::vector<Format>& formats) {
  const auto& kernel = row(graph::Op::moe, name);
  return kernel.refusal(kernel, {.module = &module, .formats = formats});
}

}  // namespace

TEST_CASE("every op has kernels, best first, ref last and for every machine") {
  for (const auto& op : graph::ops()) {
    INFO(op.name);
    const auto rows = ops::kernels(op.op);
    REQUIRE_FALSE(rows.empty());
    REQUIRE(rows.back().name == "ref");
    REQUIRE(rows.back().isa == hw::Isa::scalar);
    // Kernels for prefill alone stand before those of their level.
    for (size_t i = 1; i < rows.size(); ++i)
      REQUIRE((rows[i].isa < rows[i - 1].isa ||
               (rows[i].isa == rows[i - 1].isa && rows[i - 1].for_prefill)));
    for (const auto& kernel : rows)
      REQUIRE(kernel.for_prefill == (op.op == graph::Op::linear && kernel.name == "onednn"));
    for (const auto& kernel : rows) REQUIRE(kernel.device == "cpu");
  }
  REQUIRE(ops::kernels(graph::Op::linear).front().name == "amx");
  REQUIRE(ops::kernels(graph::Op::mla).front().name == "amx");
}

TEST_CASE("a kernel refuses a module for any of its weights, and says which") {
  const auto module = experts_module();
  REQUIRE(refusal("avx2", module, {Format::q4_k, Format::q4_k, Format::int8}).empty());
  REQUIRE(refusal("avx2", module, {Format::int4_64, Format::int4_64, Format::int8_32}).empty());
  REQUIRE(refusal("avx2", module, {Format::q4_k, Format::q4_k, Format::q4_k}) ==
          "down has 96 columns, which q4_k (blocks of 256) can't store");
  auto narrow = module;
  narrow.weights[2].cols = 100;
  REQUIRE(refusal("avx2", narrow, {Format::q4_k, Format::q4_k, Format::int8}) ==
          "down: needs columns in multiples of 32 for int8, not 100");
  REQUIRE(refusal("ref", narrow, {Format::q4_k, Format::q4_k, Format::int8}).empty());
}
