// Linear layers over a pool: x is prepared once, groups of rows of all matrices are handed out.
#include "ops/linear/linear.hpp"

#include <algorithm>

#include "ops/matmul/activation.hpp"
#include "ops/matmul/token_blocks.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

const MatmulKernel& kernel_of(const LinearArgs& args) noexcept {
  return args.tokens <= decode_tokens ? *args.w->decode : *args.w->prefill;
}

ActivationFormat activation_of(const LinearArgs& args) noexcept {
  return activation_for(kernel_of(args), args.w->format, args.tokens);
}

/// Where x is kept in a format other than f32: q8 rows come first.
int64_t prepared_at(const LinearArgs& args, ActivationFormat format) noexcept {
  if (format == ActivationFormat::q8) return 0;
  return args.tokens * activation_row_bytes(ActivationFormat::q8, args.w->cols);
}

/// Converts x into the scratch when any of the matrices reads it in that format.
void prepare(std::span<const LinearArgs> args, ActivationFormat format,
             hw::WorkerPool& pool) noexcept {
  const auto reader = std::ranges::find(args, format, activation_of);
  if (reader == args.end()) return;
  const MatmulKernel& kernel = kernel_of(*reader);
  const LinearArgs& first = args.front();
  const int64_t cols = first.w->cols;
  const int64_t row_bytes = activation_row_bytes(format, cols);
  std::byte* rows = first.scratch + prepared_at(first, format);
  for_each(pool, first.tokens, cols, [&](int64_t t, int) noexcept {
    kernel.prepare(format, first.x + t * first.x_stride, cols, rows + t * row_bytes);
  });
}

Activations activations(const LinearArgs& args, const std::byte* prepared) noexcept {
  const ActivationFormat format = activation_of(args);
  if (format != ActivationFormat::f32)
    return {.data = prepared + prepared_at(args, format),
            .row_bytes = activation_row_bytes(format, args.w->cols),
            .tokens = args.tokens,
            .format = format};
  return {.data = reinterpret_cast<const std::byte*>(args.x),
          .row_bytes = args.x_stride * static_cast<int64_t>(sizeof(float)),
          .tokens = args.tokens};
}

int64_t groups_of(const LinearArgs& args) noexcept {
  return (args.w->rows + row_group - 1) / row_group;
}

/// Groups [begin, end) of 16 rows of one matrix.
void multiply(const LinearArgs& args, const std::byte* prepared, int64_t begin,
              int64_t end) noexcept {
  const PackedMatrix& w = *args.w;
  const int64_t row_begin = begin * row_group, row_end = std::min(w.rows, end * row_group);
  multiply_in_token_blocks(kernel_of(args), {.weights = w.data,
                                             .format = w.format,
                                             .rows = w.rows,
                                             .cols = w.cols,
                                             .row_begin = row_begin,
                                             .row_end = row_end,
                                             .x = activations(args, prepared),
                                             .y = args.y + row_begin,
                                             .y_stride = args.y_stride});
  if (args.bias == nullptr) return;
  for (int64_t t = 0; t < args.tokens; ++t)
    for (int64_t r = row_begin; r < row_end; ++r) args.y[t * args.y_stride + r] += args.bias[r];
}

}  // namespace

int64_t linear_scratch_bytes(const PackedMatrix& w, int64_t tokens) noexcept {
  const bool bf16 = w.prefill->bf16_tokens > 0 || w.decode->bf16_tokens > 0;
  const bool quantized = bf16 || w.decode->activation(w.format) == ActivationFormat::q8 ||
                         w.prefill->activation(w.format) == ActivationFormat::q8;
  return (quantized ? tokens * activation_row_bytes(ActivationFormat::q8, w.cols) : 0) +
         (bf16 ? tokens * activation_row_bytes(ActivationFormat::bf16, w.cols) : 0);
}

void linear(const LinearArgs& args, hw::WorkerPool& pool) noexcept {
  linear_many({&args, 1}, pool);
}

void linear_many(std::span<const LinearArgs> args, hw::WorkerPool& pool) noexcept {
  if (args.empty() || args.front().tokens == 0) return;
  prepare(args, ActivationFormat::q8, pool);
  prepare(args, ActivationFormat::bf16, pool);
  const std::byte* prepared = args.front().scratch;
  int64_t groups = 0;
  for (const LinearArgs& one : args) groups += groups_of(one);
  const int64_t cost = row_group * args.front().w->cols * args.front().tokens;
  pool.parallel_for(groups, shared_grain(groups, cost, pool.size()),
                    [&](int64_t begin, int64_t end, int) noexcept {
                      for (const LinearArgs& one : args) {
                        const int64_t count = groups_of(one);
                        if (begin < count && end > 0)
                          multiply(one, prepared, std::max<int64_t>(begin, 0),
                                   std::min(end, count));
                        begin -= count;
                        end -= count;
                      }
                    });
}

}  // namespace ktx::ops
