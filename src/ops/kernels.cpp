// The kernels of every op for placement: those with matrices from the matmul table, those with
// loops over floats from theirs, those of GPUs one an op.
#include "ops/kernels.hpp"

#include <algorithm>
#include <vector>

#include "ops/attention/mla.hpp"
#include "ops/cuda/refusals.hpp"
#include "ops/f32/f32.hpp"
#include "ops/matmul/matmul.hpp"
#include "ops/matmul/tiles/tiles.hpp"

namespace ktx::ops {
namespace {

/// A reason when a matrix of the module cannot be stored in its format, or `kernel` (if any) cannot
/// multiply by it.
std::string matrix_refusal(const KernelQuery& query, const MatmulKernel* kernel) {
  for (size_t i = 0; i < query.formats.size(); ++i) {
    const graph::Weight& weight = query.module->weights[i];
    if (weight.role == "bias") continue;
    const quant::Format format = query.formats[i];
    if (!quant::fits(format, weight.cols))
      return weight.role + " has " + std::to_string(weight.cols) + " columns, which " +
             std::string(quant::name(format)) + " (blocks of " +
             std::to_string(quant::info(format).block) + ") can't store";
    if (kernel == nullptr) continue;
    const std::string reason = kernel->refusal(format, weight.rows, weight.cols);
    if (!reason.empty()) return weight.role + ": " + reason;
  }
  return {};
}

std::string refuse_matmul(const KernelRow& row, const KernelQuery& query) {
  const MatmulKernel* kernel = find_matmul_kernel(row.name);
  const std::string reason = matrix_refusal(query, kernel);
  if (!reason.empty() || kernel->is_for == nullptr) return reason;
  return std::ranges::any_of(query.formats, kernel->is_for) ? "" : "is for formats with codebooks";
}

// Attention leaves its products with matrices to a matmul kernel that can (mla_matmul_kernel). On
// tiles it rounds what it reads of the cache to bf16.
std::string refuse_attention(const KernelRow& row, const KernelQuery& query) {
  if (query.cache == graph::KvFormat::f32 && find_attention_kernel(row.name)->tiles != nullptr)
    return "computes in bf16, but the cache is exact (f32)";
  return matrix_refusal(query, nullptr);
}

std::string refuse_none(const KernelRow&, const KernelQuery&) {
  return {};
}

/// The first matrix of the module with which the kernel that `choose` gives for it is slow.
template <class Choose>
std::string slow_matrix(const KernelQuery& query, const Choose& choose) {
  for (size_t i = 0; i < query.formats.size(); ++i) {
    const graph::Weight& weight = query.module->weights[i];
    if (weight.role == "bias") continue;
    const std::string reason = slow_path(choose(weight, query.formats[i]), query.formats[i]);
    if (!reason.empty()) return weight.role + ": " + reason;
  }
  return {};
}

std::string slow_matmul(const KernelRow& row, const KernelQuery& query) {
  const MatmulKernel& kernel = *find_matmul_kernel(row.name);
  return slow_matrix(query, [&](const auto&, auto) -> const MatmulKernel& { return kernel; });
}

std::string slow_mla(const KernelRow& row, const KernelQuery& query) {
  const AttentionKernel& kernel = *find_attention_kernel(row.name);
  return slow_matrix(query, [&](const auto& weight, auto format) -> const MatmulKernel& {
    return mla_matmul_kernel(kernel, kernel.matrices, format, weight.rows, weight.cols);
  });
}

// ---- GPUs ----

std::string refuse_on_gpu(const KernelRow&, const KernelQuery& query) {
  if (std::string reason = matrix_refusal(query, nullptr); !reason.empty()) return reason;
  const auto& weights = query.module->weights;
  const auto op = graph::find_op(query.module->op);
  if (weights.empty() || !op) return {};
  const graph::Weight& first = weights.front();
  switch (*op) {
    case graph::Op::linear:
      return cuda::matmul_refusal(query.formats[0], first.rows, first.cols);
    case graph::Op::moe:
      if (query.formats[0] != query.formats[1]) return "reads gate and up in one format";
      return cuda::moe_refusal(query.formats[0], query.formats[2], first.cols, first.rows);
    case graph::Op::embedding:
      return cuda::embedding_refusal(query.formats[0]);
    case graph::Op::mla:
      return cuda::mla_refusal(first.cols, first.rows);
    case graph::Op::router:
      return cuda::router_refusal(first.rows, first.cols);
    default:
      return {};
  }
}

/// Measured on an H100 that reads 2.95 TB/s.
constexpr KernelRow gpu_row(const Efficiency& efficiency) {
  return {"cuda", "cuda", hw::Isa::scalar, refuse_on_gpu, false, nullptr, efficiency};
}
constexpr KernelRow gpu_linear =
    gpu_row({.read = 0.75, .compute = 0.9, .half_rows = 700, .call = 2.5e-6});
constexpr KernelRow gpu_moe =
    gpu_row({.read = 0.75, .compute = 0.16, .half_rows = 12, .call = 10e-6});
constexpr KernelRow gpu_mla =
    gpu_row({.read = 0.75, .compute = 0.33, .half_rows = 0, .call = 10e-6});
constexpr KernelRow gpu_gqa =
    gpu_row({.read = 0.75, .compute = 0.33, .half_rows = 0, .call = 6e-6});
constexpr KernelRow gpu_norm = gpu_row({.read = 0.75, .half_rows = 0, .call = 1.7e-6});
constexpr KernelRow gpu_router =
    gpu_row({.read = 0.75, .compute = 0.3, .half_rows = 700, .call = 6e-6});

// ---- CPUs, and both ----

std::vector<KernelRow> with_gpu_row(std::vector<KernelRow> rows, const KernelRow& gpu) {
  rows.insert(rows.end() - 1, gpu);  // before ref
  return rows;
}

/// Scalar loops.
constexpr Efficiency of_ref{.read = 0.01, .compute = 0.01, .half_rows = 0};

/// Codebooks, looked up by permutations of registers: 16 threads on 8 cores of an Emerald Rapids.
constexpr DecodingRate by_permutation[] = {
    {quant::Format::iq3_s, 11.4e9},   {quant::Format::iq3_xxs, 13.5e9},
    {quant::Format::iq2_s, 9.4e9},    {quant::Format::iq2_xs, 12.8e9},
    {quant::Format::iq2_xxs, 19.1e9}, {quant::Format::iq1_s, 8.3e9},
    {quant::Format::iq1_m, 7.3e9}};
/// By gathers from memory: a thread of a Zen 4.
constexpr DecodingRate by_gather[] = {
    {quant::Format::iq3_s, 4.5e9}, {quant::Format::iq3_xxs, 4.8e9}, {quant::Format::iq2_s, 5.8e9},
    {quant::Format::iq2_xs, 6e9},  {quant::Format::iq2_xxs, 6.5e9}, {quant::Format::iq1_s, 7e9},
    {quant::Format::iq1_m, 5.8e9}};

/// Requantizing a weight for int8 tiles takes as long as its products with so many tokens: of 16
/// and 64 an expert, 3.9 and 9.4 TFLOP/s with q4_k on 16 threads.
constexpr double half_rows_of_int8_tiles = 55;

Efficiency efficiency_of(const MatmulKernel& kernel) {
  if (kernel.name == "ref") return of_ref;
  if (kernel.name == "amx")
    return {.half_rows = half_rows_of_int8_tiles, .tile = tile_tokens, .decoding = by_permutation};
  if (kernel.isa >= hw::Isa::avx512_vbmi) return {.decoding = by_permutation};
  return {.decoding = by_gather};
}

std::vector<KernelRow> matmul_rows() {
  std::vector<KernelRow> rows;
  for (const MatmulKernel& kernel : matmul_kernels())
    rows.push_back(
        {kernel.name, "cpu", kernel.isa, refuse_matmul, false, slow_matmul, efficiency_of(kernel)});
  return rows;
}

/// Experts of one layer: two passes, their joins, and the way from and to a GPU or the layer's sum.
std::vector<KernelRow> moe_rows() {
  auto rows = matmul_rows();
  for (auto& row : rows) row.efficiency.call = 60e-6;
  return rows;
}

std::vector<KernelRow> linear_rows() {
  auto rows = matmul_rows();
  const MatmulKernel& onednn = onednn_kernel();
  const auto same_isa = std::ranges::find(rows, onednn.isa, &KernelRow::isa);
  rows.insert(same_isa, {onednn.name, "cpu", onednn.isa, refuse_matmul, true, slow_matmul});
  return rows;
}

/// Scores and sums of values, of which half a step is softmax and merging.
Efficiency attention_efficiency(std::string_view kernel) {
  return kernel == "ref" ? of_ref : Efficiency{.compute = 0.4, .half_rows = 0, .call = 20e-6};
}

// mla has products with matrices too, which its kernels differ in.
std::vector<KernelRow> attention_rows(graph::Op op) {
  const bool mla = op == graph::Op::mla;
  std::vector<KernelRow> rows;
  for (const AttentionKernel& kernel : attention_kernels())
    rows.push_back({kernel.name, "cpu", kernel.isa, refuse_attention, false,
                    mla ? slow_mla : nullptr, attention_efficiency(mla ? kernel.name : "")});
  return rows;
}

// Of ops on floats.
std::vector<KernelRow> float_rows() {
  std::vector<KernelRow> rows;
  for (const auto& kernel : f32::kernels())
    rows.push_back({kernel.name, "cpu", kernel.isa, refuse_none});
  return rows;
}

// A format's own scalar decoder, or loops that are one for all CPUs.
constexpr KernelRow only_ref[] = {gpu_norm, {"ref", "cpu", hw::Isa::scalar, refuse_none}};

}  // namespace

std::span<const KernelRow> kernels(graph::Op op) {
  static const auto linear = with_gpu_row(linear_rows(), gpu_linear),
                    moe = with_gpu_row(moe_rows(), gpu_moe),
                    mla = with_gpu_row(attention_rows(graph::Op::mla), gpu_mla),
                    gqa = with_gpu_row(attention_rows(graph::Op::gqa), gpu_gqa),
                    norm = with_gpu_row(float_rows(), gpu_norm),
                    router = with_gpu_row(float_rows(), gpu_router);
  switch (op) {
    case graph::Op::linear:
      return linear;
    case graph::Op::moe:
      return moe;
    case graph::Op::mla:
      return mla;
    case graph::Op::gqa:
      return gqa;
    case graph::Op::router:
      return router;
    case graph::Op::rms_norm:
    case graph::Op::silu_mul:
      return norm;
    case graph::Op::embedding:
    case graph::Op::add:
    case graph::Op::scale_sigmoid:
    case graph::Op::last_rows:
    case graph::Op::copy:
    case graph::Op::convert:
      return only_ref;
  }
  return only_ref;
}

const KernelRow* find_kernel(graph::Op op, std::string_view name) {
  const auto rows = kernels(op);
  const auto row = std::ranges::find(rows, name, &KernelRow::name);
  return row == rows.end() ? nullptr : &*row;
}

Layout gpu_layout(graph::Op op, const graph::Weight& weight) noexcept {
  const bool multiplies = op == graph::Op::linear || op == graph::Op::moe;
  return multiplies && weight.role != "bias" ? Layout::x16 : Layout::rows;
}

std::string slow_path(const KernelRow& row, const KernelQuery& query) {
  return row.slow_path == nullptr ? std::string() : row.slow_path(row, query);
}

}  // namespace ktx::ops
