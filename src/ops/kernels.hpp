// All kernels of all ops in one view: what placement chooses from and what EXPLAIN prints.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/graph/module.hpp"
#include "core/graph/op.hpp"
#include "core/hw/isa.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::ops {

/// What a kernel is asked to run: a module whose weights have been given their formats.
struct KernelQuery {
  const graph::Module* module = nullptr;
  std::span<const quant::Format> formats;  // one a weight of the module, in order
};

struct KernelRow {
  std::string_view name;    // "avx512_vnni", "ref"
  std::string_view device;  // device kind: "cpu" or "cuda"
  hw::Isa isa;              // cpu: the least level it needs
  /// Empty when it can run the module, else the reason.
  std::string (*refusal)(const KernelRow& row, const KernelQuery& query);
  bool for_prefill = false;  // alone: decode takes the best of the other rows
  /// See slow_path(); null: it has none.
  std::string (*slow_path)(const KernelRow& row, const KernelQuery& query) = nullptr;
};

/// Empty, or why the kernel runs the module far below the speed of its ISA, and by what factor. For
/// modules that it does not refuse.
std::string slow_path(const KernelRow& row, const KernelQuery& query);

/// The kernels of an op, of each device best first; "ref" last. Those of GPUs are there in builds
/// without CUDA too: a plan for another box names them. Tests and benchmarks iterate it.
std::span<const KernelRow> kernels(graph::Op op);

/// The layout in which the op's kernel on a GPU reads a weight's matrices: what it multiplies by in
/// the CPU's layout, all else row by row.
Layout gpu_layout(graph::Op op, const graph::Weight& weight) noexcept;

}  // namespace ktx::ops
