// The kernels of every op for placement: those with matrices from the matmul table.
#include "ops/kernels.hpp"

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

std::vector<KernelRow> attention_rows() {
  std::vector<KernelRow> rows;
  for (const AttentionKernel& kernel : attention_kernels())
    rows.push_back({kernel.name, "cpu", kernel.isa, refuse_attention});
  return rows;
}

constexpr KernelRow only_ref[] = {{"ref", "cpu", hw::Isa::scalar, refuse_none}};

}  // namespace

std::span<const KernelRow> kernels(graph::Op op) {
  static const std::vector<KernelRow> matmul = matmul_rows(), attention = attention_rows();
  switch (op) {
    case graph::Op::linear:
    case graph::Op::moe:
      return matmul;
    case graph::Op::mla:
    case graph::Op::gqa:
      return attention;
    default:
      return only_ref;
  }
}

}  // namespace ktx::ops
