// The kernels of every op as placement sees them.
#include "ops/kernels.hpp"

#include <algorithm>

#include "catch.hpp"
#include "ops/f32/f32.hpp"
#include "ops/matmul/matmul.hpp"

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

std::vector<ops::KernelRow> rows_of(graph::Op op, std::string_view device) {
  std::vector<ops::KernelRow> rows;
  for (const auto& kernel : ops::kernels(op))
    if (kernel.device == device) rows.push_back(kernel);
  return rows;
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
    const auto rows = rows_of(op.op, "cpu");
    REQUIRE_FALSE(rows.empty());
    REQUIRE(ops::kernels(op.op).back().name == "ref");
    REQUIRE(rows.back().name == "ref");
    REQUIRE(rows.back().isa == hw::Isa::scalar);
    // Kernels for prefill alone stand before those of their level.
    for (size_t i = 1; i < rows.size(); ++i)
      REQUIRE((rows[i].isa < rows[i - 1].isa ||
               (rows[i].isa == rows[i - 1].isa && rows[i - 1].for_prefill)));
    for (const auto& kernel : rows)
      REQUIRE(kernel.for_prefill == (op.op == graph::Op::linear && kernel.name == "onednn"));
    const auto of_gpus = rows_of(op.op, "cuda");
    REQUIRE(of_gpus.size() == 1);
    REQUIRE(of_gpus[0].name == "cuda");
    REQUIRE(rows.size() + 1 == ops::kernels(op.op).size());
  }
  REQUIRE(ops::kernels(graph::Op::linear).front().name == "amx");
  for (const auto op : {graph::Op::linear, graph::Op::moe})
    REQUIRE(ops::kernels(op)[1].name == "amx_bf16");
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

TEST_CASE("a GPU's kernel refuses by the op of the module") {
  const auto module = experts_module();
  REQUIRE(refusal("cuda", module, {Format::q8_0, Format::q8_0, Format::int4_32}).empty());
  REQUIRE(refusal("cuda", module, {Format::q4_k, Format::q4_k, Format::q4_k}) ==
          "down has 96 columns, which q4_k (blocks of 256) can't store");
  REQUIRE(refusal("cuda", module, {Format::q4_k, Format::q5_k, Format::int8}) ==
          "reads gate and up in one format");
  REQUIRE(refusal("cuda", module, {Format::iq3_s, Format::iq3_s, Format::int8}) ==
          "reads no experts in iq3_s");
  REQUIRE(refusal("cuda", module, {Format::q4_k, Format::q4_k, Format::f16}) ==
          "reads no experts in f16");
  const auto refused = [](graph::Op op, graph::Weight weight, Format format) {
    graph::Module it{.path = "it", .op = std::string(graph::info(op).name), .weights = {weight}};
    const auto& kernel = row(op, "cuda");
    return kernel.refusal(kernel, {.module = &it, .formats = {&format, 1}});
  };
  REQUIRE(refused(graph::Op::linear, {.rows = 8, .cols = 64}, Format::f16).empty());
  REQUIRE(refused(graph::Op::linear, {.rows = 8, .cols = 40}, Format::bf16) ==
          "needs columns in multiples of 32, not 40");
  REQUIRE(refused(graph::Op::embedding, {.rows = 8, .cols = 256}, Format::q2_k) ==
          "reads no rows of q2_k");
  REQUIRE(refused(graph::Op::mla, {.rows = 512, .cols = 100}, Format::bf16) ==
          "needs heads in multiples of 8, not 100");
  REQUIRE(refused(graph::Op::router, {.rows = 2000, .cols = 256}, Format::f32) ==
          "chooses among at most 1024 experts, not 2000");
  REQUIRE(refused(graph::Op::rms_norm, {.rows = 1, .cols = 7}, Format::f32).empty());
}

TEST_CASE("a GPU multiplies by matrices as they lie for the CPU, and reads all else by rows") {
  const graph::Weight matrix{.role = "weight", .rows = 8, .cols = 64};
  REQUIRE(ops::gpu_layout(graph::Op::linear, matrix) == ops::Layout::x16);
  REQUIRE(ops::gpu_layout(graph::Op::moe, matrix) == ops::Layout::x16);
  REQUIRE(ops::gpu_layout(graph::Op::linear, {.role = "bias"}) == ops::Layout::rows);
  for (const auto op : {graph::Op::embedding, graph::Op::mla, graph::Op::router})
    REQUIRE(ops::gpu_layout(op, matrix) == ops::Layout::rows);
}

TEST_CASE(
    "norm and router run the float loops of their row; ops without such loops have ref alone") {
  for (const auto op : {graph::Op::rms_norm, graph::Op::router, graph::Op::silu_mul}) {
    const auto rows = rows_of(op, "cpu");
    REQUIRE(rows.size() == ops::f32::kernels().size());
    for (const auto& kernel : rows) {
      const auto* loops = ops::f32::find_kernel(kernel.name);
      REQUIRE(loops != nullptr);
      REQUIRE(loops->isa == kernel.isa);
    }
    REQUIRE(rows.front().name == "avx512");
  }
  REQUIRE(rows_of(graph::Op::embedding, "cpu").size() == 1);
}

TEST_CASE("a kernel for formats with codebooks is for modules that have one") {
  const auto module = experts_module();
  REQUIRE(refusal("avx512_vbmi", module, {Format::iq1_s, Format::iq1_s, Format::int8}).empty());
  REQUIRE(refusal("avx512_vbmi", module, {Format::q4_k, Format::iq2_xs, Format::int8}).empty());
  REQUIRE(refusal("avx512_vbmi", module, {Format::q4_k, Format::q4_k, Format::int8}) ==
          "is for formats with codebooks");
}

TEST_CASE(
    "formats with codebooks have a decoding rate in every fast kernel of the CPU, others none") {
  for (const ops::KernelRow& row : ops::kernels(graph::Op::moe)) {
    INFO(row.name);
    if (row.device != "cpu" || row.name == "ref") {
      CHECK(row.efficiency.decoding.empty());
      continue;
    }
    for (const auto& info : quant::formats()) {
      INFO(info.name);
      const auto rate =
          std::ranges::find(row.efficiency.decoding, info.format, &ops::DecodingRate::format);
      const bool has_codebook = ops::find_matmul_kernel("avx512_vbmi")->is_for(info.format);
      CHECK(has_codebook == (rate != row.efficiency.decoding.end()));
      if (has_codebook) CHECK(rate->weights > 1e9);
    }
  }
}

TEST_CASE("a kernel without a loop for a format says so: it decodes row by row") {
  const auto module = experts_module();
  for (const auto& info : quant::formats())
    for (const auto& kernel : ops::kernels(graph::Op::moe)) {
      if (kernel.device != "cpu") continue;
      INFO(kernel.name << " " << info.name);
      const std::vector formats{Format::q4_k, info.format, Format::int8};
      REQUIRE(ops::slow_path(kernel, {.module = &module, .formats = formats}).empty() ==
              (kernel.name != "ref"));
    }
  const std::vector formats{Format::q4_k, Format::iq1_m, Format::int8};
  REQUIRE(ops::slow_path(row(graph::Op::moe, "ref"), {.module = &module, .formats = formats}) ==
          "gate: ref has no kernel for q4_k and decodes row by row: about 20 to 200 times slower "
          "than q4_k");
  REQUIRE(ops::slow_path(ops::kernels(graph::Op::rms_norm).back(), {}).empty());
}

TEST_CASE("mla is slow where the kernel that it leaves its matrices to is") {
  graph::Module module;
  module.path = "model.layers.0.self_attn";
  module.op = "mla";
  module.weights = {{.role = "k_b", .count = 4, .rows = 512, .cols = 256},
                    {.role = "v_b", .count = 4, .rows = 256, .cols = 512}};
  const auto slow = [&](std::string_view name, const std::vector<Format>& formats) {
    return ops::slow_path(row(graph::Op::mla, name), {.module = &module, .formats = formats});
  };
  REQUIRE(slow("avx512", {Format::q4_k, Format::iq3_s}).empty());
  REQUIRE(slow("ref", {Format::q4_k, Format::q8_0}).starts_with("k_b: ref has no kernel for q4_k"));
}
