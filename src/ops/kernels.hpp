// All kernels of all ops in one view: what placement chooses from and what EXPLAIN prints.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/graph/kv_row.hpp"
#include "core/graph/module.hpp"
#include "core/graph/op.hpp"
#include "core/hw/isa.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::ops {

/// What a kernel is asked to run: a module whose weights have been given their formats.
struct KernelQuery {
  const graph::Module* module = nullptr;
  std::span<const quant::Format> formats;         // one a weight of the module, in order
  graph::KvFormat cache = graph::KvFormat::bf16;  // of the KV cache
};

/// How fast a CPU's thread gets the weights out of a format.
struct DecodingRate {
  quant::Format format;
  double weights;  // a second
};

/// What a kernel reaches of the speed of its device, for predictions. A call takes
///   call + max(bytes / (read * bandwidth), operations / compute * (1 + half_rows / rows) / speed)
/// seconds (up to 8 rows: without half_rows), where bandwidth and speed are the device's
/// read_bandwidth and tensor_flops, and rows those that share a matrix. Measured; ktx-bench shows
/// them anew.
struct Efficiency {
  double read = 0.78;  // of the bandwidth, where reading bounds it: on boxes of 16 and 64 cores
  double compute = 1;  // of the speed, with many rows
  // With so many rows it reaches half of that, as decoding weights takes time; few rows meet
  // kernels that decode as fast as they read.
  double half_rows = 25;
  double call = 4e-6;  // seconds: launches, or joins of the workers
  int64_t tile = 1;    // experts' rows, if more than 8, are multiplied by so many at a time
  // Formats for which few rows may wait longer than for reading. All others are decoded as fast as
  // any memory is read.
  std::span<const DecodingRate> decoding = {};
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
  Efficiency efficiency = {};
};

/// Empty, or why the kernel runs the module far below the speed of its ISA, and by what factor. For
/// modules that it does not refuse.
std::string slow_path(const KernelRow& row, const KernelQuery& query);

/// The kernels of an op, of each device best first; "ref" last. Those of GPUs are there in builds
/// without CUDA too: a plan for another box names them. Tests and benchmarks iterate it.
std::span<const KernelRow> kernels(graph::Op op);

/// The row of that name; null: there is none.
const KernelRow* find_kernel(graph::Op op, std::string_view name);

/// The layout in which the op's kernel on a GPU reads a weight's matrices: what it multiplies by in
/// the CPU's layout, all else row by row.
Layout gpu_layout(graph::Op op, const graph::Weight& weight) noexcept;

}  // namespace ktx::ops
