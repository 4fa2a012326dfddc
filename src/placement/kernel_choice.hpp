// Chooses the kernels of a module for both phases: the best that can run it, or those that a rule
// names.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/graph/module.hpp"
#include "core/graph/op.hpp"
#include "core/hw/isa.hpp"
#include "core/quant/format.hpp"
#include "ops/kernels.hpp"
#include "ops/matmul/matmul.hpp"
#include "placement/plan.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// What the kernels must be able to run.
struct KernelTask {
  const graph::Module* module = nullptr;
  graph::Op op = graph::Op::add;
  std::span<const quant::Format> formats;  // one per weight of the module
  std::string device_kind;                 // "cpu" or "cuda"
  hw::Isa isa = hw::Isa::scalar;           // the machine's
  graph::KvFormat cache = graph::KvFormat::bf16;

  ops::KernelQuery query() const noexcept { return {module, formats, cache}; }
};

struct KernelChoice {
  KernelPick decode, prefill;
  std::vector<ops::Layout> layouts;  // one per weight of the module
};

/// Whether the op multiplies by this weight, which is then packed for a matrix kernel.
bool is_packed(graph::Op op, const graph::Weight& weight) noexcept;

/// The row of ops::matmul_kernels() that multiplies by a packed weight when `kernel` runs its op:
/// for linear and moe the one of that name; for mla, whose own kernels are about the cache, see
/// ops::mla_matmul_kernel.
const ops::MatmulKernel& matmul_kernel(const KernelTask& task, std::string_view kernel,
                                       size_t weight);

/// Why a GPU can't run the module with its matrices in these formats; empty: it can.
std::string gpu_refusal(graph::Op op, const graph::Module& module,
                        std::span<const quant::Format> formats);

/// The formats that ktx quantizes to and a GPU runs the module in, as text.
std::string gpu_formats(graph::Op op, const graph::Module& module);

/// rows: the op's kernels, best first. decode, prefill: what the rule asks for. Both phases read
/// the same packed bytes; with `auto`, prefill follows decode. If the rule names a kernel that is
/// for prefill only, decode is chosen automatically. Throws input error when a named kernel can't
/// run the module, environment error when the machine lacks its ISA.
KernelChoice choose_kernels(const KernelTask& task, std::span<const ops::KernelRow> rows,
                            const OpChoice& decode, const OpChoice& prefill);

}  // namespace ktx::placement
