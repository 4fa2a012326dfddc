// The kernels of every op for placement: those with matrices from the matmul table, those with
// loops over floats from theirs.
#include "ops/kernels.hpp"

#include <algorithm>
#include <vector>

#include "ops/attention/mla.hpp"
#include "ops/f32/f32.hpp"
#include "ops/matmul/matmul.hpp"

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
  return matrix_refusal(query, find_matmul_kernel(row.name));
}

// Attention leaves its products with matrices to a matmul kernel that can (mla_matmul_kernel).
std::string refuse_attention(const KernelRow&, const KernelQuery& query) {
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

std::vector<KernelRow> matmul_rows() {
  std::vector<KernelRow> rows;
  for (const MatmulKernel& kernel : matmul_kernels())
    rows.push_back({kernel.name, "cpu", kernel.isa, refuse_matmul, false, slow_matmul});
  return rows;
}

std::vector<KernelRow> linear_rows() {
  auto rows = matmul_rows();
  const MatmulKernel& onednn = onednn_kernel();
  const auto same_isa = std::ranges::find(rows, onednn.isa, &KernelRow::isa);
  rows.insert(same_isa, {onednn.name, "cpu", onednn.isa, refuse_matmul, true, slow_matmul});
  return rows;
}

std::vector<KernelRow> mla_rows() {
  std::vector<KernelRow> rows;
  for (const AttentionKernel& kernel : attention_kernels())
    rows.push_back({kernel.name, "cpu", kernel.isa, refuse_attention, false, slow_mla});
  return rows;
}

template <class Table>
std::vector<KernelRow> rows_without_matrices(const Table& table) {
  std::vector<KernelRow> rows;
  for (const auto& kernel : table) rows.push_back({kernel.name, "cpu", kernel.isa, refuse_none});
  return rows;
}

// A format's own scalar decoder, or loops that are one for all CPUs.
constexpr KernelRow only_ref[] = {{"ref", "cpu", hw::Isa::scalar, refuse_none}};

}  // namespace

std::span<const KernelRow> kernels(graph::Op op) {
  static const std::vector<KernelRow> linear = linear_rows(), moe = matmul_rows(), mla = mla_rows(),
                                      gqa = rows_without_matrices(attention_kernels()),
                                      f32 = rows_without_matrices(f32::kernels());
  switch (op) {
    case graph::Op::linear:
      return linear;
    case graph::Op::moe:
      return moe;
    case graph::Op::mla:
      return mla;
    case graph::Op::gqa:
      return gqa;
    case graph::Op::rms_norm:
    case graph::Op::router:
    case graph::Op::silu_mul:
      return f32;
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

std::string slow_path(const KernelRow& row, const KernelQuery& query) {
  return row.slow_path == nullptr ? std::string() : row.slow_path(row, query);
}

}  // namespace ktx::ops
