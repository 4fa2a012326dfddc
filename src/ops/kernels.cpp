// The kernels of every op for placement: those with matrices from the matmul table.
#include "ops/kernels.hpp"

#include <algorithm>
#include <vector>

#include "ops/attention/attention.hpp"
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

std::vector<KernelRow> matmul_rows() {
  std::vector<KernelRow> rows;
  for (const MatmulKernel& kernel : matmul_kernels())
    rows.push_back({kernel.name, "cpu", kernel.isa, refuse_matmul});
  return rows;
}

std::vector<KernelRow> linear_rows() {
  auto rows = matmul_rows();
  const MatmulKernel& onednn = onednn_kernel();
  const auto same_isa = std::ranges::find(rows, onednn.isa, &KernelRow::isa);
  rows.insert(same_isa, {onednn.name, "cpu", onednn.isa, refuse_matmul, true});
  return rows;
}

std::vector<KernelRow> attention_rows() {
  std::vector<KernelRow> rows;
  for (const AttentionKernel& kernel : attention_kernels())
    rows.push_back({kernel.name, "cpu", kernel.isa, refuse_attention});
  return rows;
}

constexpr KernelRow only_ref[] = {{"ref", "cpu", hw::Isa::scalar, refuse_none}};

}  // namespace

std::span<const KernelRow> kernels(graph::Op op) {
  static const std::vector<KernelRow> linear = linear_rows(), moe = matmul_rows(),
                                      attention = attention_rows();
  switch (op) {
    case graph::Op::linear:
      return linear;
    case graph::Op::moe:
      return moe;
    case graph::Op::mla:
    case graph::Op::gqa:
      return attention;
    default:
      return only_ref;
  }
}

}  // namespace ktx::ops
