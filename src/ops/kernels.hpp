// The kernels of all ops as tables for placement, which chooses from them and prints them.
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

/// A module to run, with the formats chosen for its weights.
struct KernelQuery {
  const graph::Module* module = nullptr;
  std::span<const quant::Format> formats;         // one per weight of the module, in order
  graph::KvFormat cache = graph::KvFormat::bf16;  // of the KV cache
};

/// How fast a CPU thread decodes the weights of a format.
struct DecodingRate {
  quant::Format format;
  double weights;  // per second
};

/// What fraction of its device's speed a kernel reaches, for predictions. A call takes
///   call + max(bytes / (read * bandwidth), operations / compute * (1 + half_rows / rows) / speed)
/// seconds (up to 8 rows: without half_rows), where bandwidth and speed are the device's
/// read_bandwidth and tensor_flops, and rows is the number of rows that share a matrix. The numbers
/// are measured; ktx-bench measures them again.
struct Efficiency {
  double read = 0.78;  // fraction of the bandwidth; measured on machines of 16 and 64 cores
  double compute = 1;  // fraction of the speed, with many rows
  // The number of rows at which it reaches half of that, because decoding weights takes time.
  // Kernels for few rows decode as fast as they read.
  double half_rows = 25;
  double call = 4e-6;  // seconds per call: kernel launches, or joins of the workers
  int64_t tile = 1;    // more than 8 rows of an expert are multiplied in multiples of this
  // Formats whose decoding may take longer than reading them, for few rows. All others are decoded
  // as fast as any memory is read.
  std::span<const DecodingRate> decoding = {};
};

struct KernelRow {
  std::string_view name;    // "avx512_vnni", "ref"
  std::string_view device;  // device kind: "cpu" or "cuda"
  hw::Isa isa;              // cpu: the lowest level that it runs on
  /// Why it can't run the module; empty: it can.
  std::string (*refusal)(const KernelRow& row, const KernelQuery& query);
  bool for_prefill = false;  // for prefill only; decode uses the best of the other rows
  /// See slow_path(); null: it is never slow.
  std::string (*slow_path)(const KernelRow& row, const KernelQuery& query) = nullptr;
  Efficiency efficiency = {};
};

/// Why, and by what factor, the kernel runs the module far below the speed of its ISA; empty: it
/// doesn't. For modules that it does not refuse.
std::string slow_path(const KernelRow& row, const KernelQuery& query);

/// The kernels of an op, best first on each device; "ref" last. Builds without CUDA have the rows
/// of GPU kernels too, for plans for other machines. Tests and benchmarks iterate it.
std::span<const KernelRow> kernels(graph::Op op);

/// The row of that name; null: there is none.
const KernelRow* find_kernel(graph::Op op, std::string_view name);

/// The layout in which the op's GPU kernel reads a weight: Layout::x16, as on the CPU, for matrices
/// that it multiplies by; otherwise row by row.
Layout gpu_layout(graph::Op op, const graph::Weight& weight) noexcept;

}  // namespace ktx::ops
