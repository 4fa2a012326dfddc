// Linear layers over a pool: x is prepared once, groups of rows of all matrices are handed out.
#include "ops/linear/linear.hpp"

#include <algorithm>

#include "ops/matmul/activation.hpp"
#include "ops/matmul/node_rows.hpp"
#include "ops/matmul/token_blocks.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

const MatmulKernel& kernel_of(const LinearArgs& args) noexcept {
  return args.tokens <= decode_tokens ? *args.w->decode : *args.w->prefill;
}

ActivationFormat activation_of(const LinearArgs& args) noexcept {
  return kernel_of(args).activation(args.w->format);
}

/// Quantizes x into the scratch when any of the matrices reads it so.
void prepare(std::span<const LinearArgs> args, hw::WorkerPool& pool) noexcept {
  const auto quantized = std::ranges::find(args, ActivationFormat::q8, activation_of);
  if (quantized == args.end()) return;
  const MatmulKernel& kernel = kernel_of(*quantized);
  const LinearArgs& first = args.front();
  const int64_t cols = first.w->cols;
  const int64_t row_bytes = activation_row_bytes(ActivationFormat::q8, cols);
  for_each(pool, first.tokens, cols, [&](int64_t t, int) noexcept {
    kernel.prepare(ActivationFormat::q8, first.x + t * first.x_stride, cols,
                   first.scratch + t * row_bytes);
  });
}

Activations activations(const LinearArgs& args, const std::byte* prepared) noexcept {
  if (activation_of(args) == ActivationFormat::q8)
    return {.data = prepared,
            .row_bytes = activation_row_bytes(ActivationFormat::q8, args.w->cols),
            .tokens = args.tokens};
  return {.data = reinterpret_cast<const std::byte*>(args.x),
          .row_bytes = args.x_stride * static_cast<int64_t>(sizeof(float)),
          .tokens = args.tokens};
}

int64_t groups_of(const RowRange& rows) noexcept {
  return (rows.end - rows.begin + row_group - 1) / row_group;
}

/// Rows [row_begin, row_end) of one matrix, by a worker of `node`.
void multiply(const LinearArgs& args, const std::byte* prepared, int64_t row_begin, int64_t row_end,
              int node) noexcept {
  MatmulArgs product = weight_args(*args.w, 0, row_begin, row_end, node);
  product.x = activations(args, prepared);
  product.y = args.y + row_begin;
  product.y_stride = args.y_stride;
  multiply_in_token_blocks(kernel_of(args), product);
  if (args.bias == nullptr) return;
  for (int64_t t = 0; t < args.tokens; ++t)
    for (int64_t r = row_begin; r < row_end; ++r) args.y[t * args.y_stride + r] += args.bias[r];
}

}  // namespace

int64_t linear_scratch_bytes(const PackedMatrix& w, int64_t tokens) noexcept {
  const bool quantized = w.decode->activation(w.format) == ActivationFormat::q8 ||
                         w.prefill->activation(w.format) == ActivationFormat::q8;
  return quantized ? tokens * activation_row_bytes(ActivationFormat::q8, w.cols) : 0;
}

void linear(const LinearArgs& args, hw::WorkerPool& pool) noexcept {
  linear_many({&args, 1}, pool);
}

void linear_many(std::span<const LinearArgs> args, hw::WorkerPool& pool) noexcept {
  if (args.empty() || args.front().tokens == 0) return;
  prepare(args, pool);
  const std::byte* prepared = args.front().scratch;
  int64_t groups = 0;
  bool anywhere = true;
  for (const LinearArgs& one : args) {
    groups += groups_of({0, one.w->rows});
    anywhere = anywhere && all_nodes_hold(*one.w, pool);
  }
  const auto groups_of_node = [&](int node) noexcept {
    int64_t sum = 0;
    for (const LinearArgs& one : args) sum += groups_of(rows_of_node(*one.w, pool, node));
    return sum;
  };
  const int64_t cost = row_group * args.front().w->cols * args.front().tokens;
  // A node's items are its groups of rows of all matrices, one matrix after another.
  pool.parallel_for_nodes(
      groups_of_node, shared_grain(groups, cost, pool.size()),
      anywhere ? hw::Steal::yes : hw::Steal::no,
      [&](int node, int64_t begin, int64_t end, int worker) noexcept {
        for (const LinearArgs& one : args) {
          const RowRange rows = rows_of_node(*one.w, pool, node);
          const int64_t count = groups_of(rows);
          if (begin < count && end > 0)
            multiply(one, prepared, rows.begin + std::max<int64_t>(begin, 0) * row_group,
                     std::min(rows.end, rows.begin + end * row_group), pool.node_of(worker));
          begin -= count;
          end -= count;
        }
      });
}

}  // namespace ktx::ops
