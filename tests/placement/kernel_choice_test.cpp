// Kernel choice, on kernel tables made up here and on the real one.
#include "placement/kernel_choice.hpp"

#include <algorithm>
#include <array>

#include "catch.hpp"
#include "sample.hpp"

using namespace ktx;
using namespace ktx::placement;
using sample::error_of;

namespace {

std::string takes_all(const ops::KernelRow&, const ops::KernelQuery&) {
  return "";
}
std::string takes_none(const ops::KernelRow&, const ops::KernelQuery&) {
  return "needs rows of 512 numbers";
}

// rms_norm: an op without packed weights, so that layouts don't matter.
constexpr std::array<ops::KernelRow, 5> rows{{
    {"gpu", "cuda", hw::Isa::scalar, takes_all},
    {"newest", "cpu", hw::Isa::amx_int8, takes_all},
    {"picky", "cpu", hw::Isa::scalar, takes_none},
    {"good", "cpu", hw::Isa::avx2, takes_all},
    {"ref", "cpu", hw::Isa::scalar, takes_all},
}};

graph::Module norm_module() {
  graph::Module module{.path = "model.norm", .op = "rms_norm"};
  module.weights = {{.role = "weight", .count = 1, .rows = 1, .cols = 256}};
  return module;
}

KernelChoice choose(hw::Isa isa, const OpChoice& decode, const OpChoice& prefill) {
  static const auto module = norm_module();
  static const std::vector<quant::Format> formats{quant::Format::f32};
  return choose_kernels({&module, graph::Op::rms_norm, formats, "cpu", isa}, rows, decode, prefill);
}

OpChoice named(const std::string& kernel) {
  return {graph::Op::rms_norm, kernel, "r.yaml:5:9"};
}

}  // namespace

TEST_CASE("auto takes the first row that can, and says why not the ones before") {
  const auto choice = choose(hw::Isa::avx512, {}, {});
  CHECK(choice.decode.name == "good");
  CHECK(choice.prefill.name == "good");
  REQUIRE(choice.decode.skipped.size() == 2);
  CHECK(choice.decode.skipped[0].name == "newest");
  CHECK(choice.decode.skipped[0].reason == "needs amx_int8, the machine has avx512");
  CHECK(choice.decode.skipped[1].name == "picky");
  CHECK(choice.decode.skipped[1].reason == "needs rows of 512 numbers");
  CHECK(choose(hw::Isa::scalar, {}, {}).decode.name == "ref");
  CHECK(choose(hw::Isa::amx_int8, {}, {}).decode.name == "newest");
}

TEST_CASE("a named kernel is that one, in each phase its own") {
  const auto choice = choose(hw::Isa::avx512, named("ref"), named("good"));
  CHECK(choice.decode.name == "ref");
  CHECK(choice.prefill.name == "good");
  CHECK(choice.decode.skipped.empty());
}

TEST_CASE("a named kernel that can't run") {
  const std::string usable =
      "\n  note: ops that can run it here: rms_norm.auto, rms_norm.good, rms_norm.ref";
  CHECK(error_of([] { choose(hw::Isa::avx512, named("newest"), {}); }) ==
        "r.yaml:5:9: op rms_norm.newest can't run model.norm: needs amx_int8, the machine has "
        "avx512" +
            usable);
  CHECK(error_of([] { choose(hw::Isa::avx512, named("picky"), {}); }) ==
        "r.yaml:5:9: op rms_norm.picky can't run model.norm: needs rows of 512 numbers" + usable);
  CHECK(error_of([] { choose(hw::Isa::avx512, named("gpu"), {}); }) ==
        "r.yaml:5:9: op rms_norm.gpu does not run on cpu devices" + usable);
}

TEST_CASE("no kernel at all") {
  const auto module = norm_module();
  const std::vector<quant::Format> formats{quant::Format::f32};
  const KernelTask task{&module, graph::Op::rms_norm, formats, "cpu", hw::Isa::scalar};
  CHECK(error_of([&] { choose_kernels(task, std::span(rows).subspan(1, 2), {}, {}); }) ==
        "no kernel of op 'rms_norm' can run model.norm on cpu\n"
        "  note: rms_norm.newest needs amx_int8, the machine has scalar\n"
        "  note: rms_norm.picky needs rows of 512 numbers");
}

TEST_CASE("both phases of a matrix product read one layout") {
  graph::Module module{.path = "lm_head", .op = "linear"};
  module.weights = {{.role = "weight", .count = 1, .rows = 64, .cols = 256}};
  const std::vector<quant::Format> formats{quant::Format::q4_k};
  const auto table = ops::kernels(graph::Op::linear);
  const KernelTask task{&module, graph::Op::linear, formats, "cpu", hw::Isa::avx2};
  const auto fast = choose_kernels(task, table, {}, {});
  REQUIRE(fast.decode.name == "avx2");
  REQUIRE(fast.layouts == std::vector{ops::Layout::x16});

  const OpChoice ref{graph::Op::linear, "ref", "r.yaml:6:9"};
  const OpChoice avx2{graph::Op::linear, "avx2", "r.yaml:5:9"};
  const auto slow = choose_kernels(task, table, ref, {});
  CHECK(slow.prefill.name == "ref");
  CHECK(slow.layouts == std::vector{ops::Layout::rows});
  REQUIRE_FALSE(slow.prefill.skipped.empty());
  CHECK(slow.prefill.skipped.back().reason ==
        "reads 'weight' in groups of 16 rows, the other phase's kernel linear.ref reads it row by "
        "row");
  CHECK(choose_kernels(task, table, {}, ref).decode.name == "ref");
  CHECK(error_of([&] { choose_kernels(task, table, avx2, ref); }) ==
        "r.yaml:6:9: op linear.ref can't prefill lm_head: reads 'weight' row by row, the other "
        "phase's kernel linear.avx2 reads it in groups of 16 rows\n"
        "  note: the weights are stored once: name kernels of one layout, or leave one to "
        "linear.auto");
}

TEST_CASE("mla's matrices get the machine's best matrix kernel, or ref with ref") {
  graph::Module module{.path = "model.layers.0.self_attn.kv_b_proj", .op = "mla"};
  module.weights = {{.role = "v_b", .count = 4, .rows = 128, .cols = 512}};
  const std::vector<quant::Format> formats{quant::Format::q4_k};
  const KernelTask task{&module, graph::Op::mla, formats, "cpu", hw::Isa::avx512_vnni};
  CHECK(matmul_kernel(task, "ref", 0).name == "ref");
  CHECK(&matmul_kernel(task, "avx512", 0) ==
        &ops::best_matmul_kernel(hw::Isa::avx512_vnni, quant::Format::q4_k, 128, 512));
}

TEST_CASE("attention to an exact cache goes on floats, the tiles' reason is told") {
  const graph::Module module{.path = "model.layers.0.self_attn", .op = "gqa"};
  const auto pick = [&](graph::KvFormat cache) {
    return choose_kernels({&module, graph::Op::gqa, {}, "cpu", hw::Isa::avx512_bf16, cache},
                          ops::kernels(graph::Op::gqa), {}, {});
  };
  CHECK(pick(graph::KvFormat::bf16).decode.name == "avx512_bf16");
  CHECK(pick(graph::KvFormat::fp8).prefill.name == "avx512_bf16");
  const auto exact = pick(graph::KvFormat::f32);
  CHECK(exact.decode.name == "avx512");
  CHECK(exact.prefill.name == "avx512");
  CHECK(std::ranges::any_of(exact.decode.skipped, [](const auto& skipped) {
    return skipped.reason == "computes in bf16, but the cache is exact (f32)";
  }));
}

TEST_CASE("a rule names linear.onednn: prompts run it, decode takes the best") {
  graph::Module module{.path = "lm_head", .op = "linear"};
  module.weights = {{.role = "weight", .count = 1, .rows = 64, .cols = 256}};
  const auto table = ops::kernels(graph::Op::linear);
  const auto pick = [&](quant::Format format, hw::Isa isa, const OpChoice& decode,
                        const OpChoice& prefill) {
    const std::vector formats{format};
    return choose_kernels({&module, graph::Op::linear, formats, "cpu", isa}, table, decode,
                          prefill);
  };
  using hw::Isa;
  using quant::Format;
  const OpChoice onednn{graph::Op::linear, "onednn", "r.yaml:5:9"};
  const std::string usable =
      "\n  note: ops that can run it here: linear.auto, linear.avx512_vnni, linear.avx512, "
      "linear.avx2, linear.ref";
  CHECK(error_of([&] { pick(Format::q4_k, Isa::avx512_vnni, onednn, onednn); }) ==
        "r.yaml:5:9: op linear.onednn can't run lm_head: weight: multiplies by f32, f16, bf16, fp8 "
        "and int8, not by q4_k" +
            usable);
  CHECK(error_of([&] { pick(Format::int8, Isa::avx2, {}, onednn); }) ==
        "r.yaml:5:9: op linear.onednn can't run lm_head: needs avx512_vnni, the machine has avx2\n"
        "  note: ops that can run it here: linear.auto, linear.avx2, linear.ref");
  // An AMX machine has better.
  CHECK(pick(Format::int8, Isa::amx_int8, {}, {}).prefill.name == "amx");
  CHECK(pick(Format::q4_k, Isa::avx512_vnni, {}, {}).prefill.name == "avx512_vnni");

  const auto& row = *std::ranges::find(table, "onednn", &ops::KernelRow::name);
  const std::vector formats{Format::int8};
  if (!row.refusal(row, {&module, formats}).empty()) {
    WARN("built without oneDNN: the rest is that a rule which names it is refused");
    CHECK(error_of([&] { pick(Format::int8, Isa::avx512_vnni, {}, onednn); }) ==
          "r.yaml:5:9: op linear.onednn can't run lm_head: weight: built without oneDNN" + usable);
    CHECK(pick(Format::int8, Isa::avx512_vnni, {}, {}).prefill.name == "avx512_vnni");
    return;
  }
  for (const auto& decode : {OpChoice{}, onednn}) {
    const auto choice = pick(Format::int8, Isa::avx512_vnni, decode, onednn);
    CHECK(choice.prefill.name == "onednn");
    CHECK(choice.decode.name == "avx512_vnni");
    CHECK(choice.layouts == std::vector{ops::Layout::x16});
  }
  CHECK(pick(Format::int8, Isa::amx_int8, {}, onednn).prefill.name == "onednn");
  // Without AMX it is the best for prompts.
  const auto choice = pick(Format::bf16, Isa::avx512_vnni, {}, {});
  CHECK(choice.prefill.name == "onednn");
  CHECK(choice.decode.name == "avx512_vnni");
}
