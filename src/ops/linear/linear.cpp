// Cuts matrices into groups of rows that the workers take.
#include "ops/linear/linear.hpp"

#include <algorithm>

#include "ops/parallel.hpp"

namespace ktx::ops {

namespace {

// Activations that a worker goes through for each group of rows: they should stay in its L2 cache.
constexpr int64_t l2_bytes_for_activations = 256 * 1024;

int64_t groups_of(const PackedMatrix& w) {
  return (w.rows + row_group - 1) / row_group;
}

const MatmulKernel& kernel_of(const LinearArgs& args) {
  return args.tokens <= decode_tokens ? *args.w->decode : *args.w->prefill;
}

ActivationFormat activation_of(const LinearArgs& args) {
  return kernel_of(args).activation(args.w->format);
}

Activations plain(const LinearArgs& args) {
  return {.data = reinterpret_cast<const std::byte*>(args.x),
          .row_bytes = args.x_stride * static_cast<int64_t>(sizeof(float)),
          .tokens = args.tokens};
}

// x in the format q8, made once for all matrices that want it.
Activations quantized(const LinearArgs& args, hw::WorkerPool& pool) {
  const int64_t cols = args.w->cols;
  const int64_t row_bytes = activation_row_bytes(ActivationFormat::q8, cols);
  const auto prepare = kernel_of(args).prepare;
  for_each(pool, args.tokens, cols, [&](int64_t t, int) noexcept {
    prepare(ActivationFormat::q8, args.x + t * args.x_stride, cols, args.scratch + t * row_bytes);
  });
  return {.data = args.scratch, .row_bytes = row_bytes, .tokens = args.tokens};
}

// Groups [begin, end) of one matrix, in blocks of tokens whose activations fit the cache.
void multiply(const LinearArgs& args, const Activations& x, int64_t begin, int64_t end) {
  const int64_t first = begin * row_group, last = std::min(end * row_group, args.w->rows);
  const int64_t block = std::max(decode_tokens, l2_bytes_for_activations / x.row_bytes);
  for (int64_t t = 0; t < args.tokens; t += block) {
    const int64_t n = std::min(block, args.tokens - t);
    float* y = args.y + t * args.y_stride + first;
    kernel_of(args).run(
        {.weights = args.w->data,
         .format = args.w->format,
         .rows = args.w->rows,
         .cols = args.w->cols,
         .row_begin = first,
         .row_end = last,
         .x = {.data = x.data + t * x.row_bytes, .row_bytes = x.row_bytes, .tokens = n},
         .y = y,
         .y_stride = args.y_stride});
    if (args.bias == nullptr) continue;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t r = first; r < last; ++r) y[i * args.y_stride + r - first] += args.bias[r];
  }
}

}  // namespace

size_t linear_scratch_bytes(const PackedMatrix& w, int64_t max_tokens) noexcept {
  const bool q8 = w.decode->activation(w.format) == ActivationFormat::q8 ||
                  w.prefill->activation(w.format) == ActivationFormat::q8;
  return q8 ? static_cast<size_t>(activation_row_bytes(ActivationFormat::q8, w.cols) * max_tokens)
            : 0;
}

void linear(const LinearArgs& args, hw::WorkerPool& pool) noexcept {
  linear_many({&args, 1}, pool);
}

void linear_many(std::span<const LinearArgs> all, hw::WorkerPool& pool) noexcept {
  Activations q8;
  int64_t groups = 0;
  for (const auto& args : all) {
    groups += groups_of(*args.w);
    if (q8.data == nullptr && activation_of(args) == ActivationFormat::q8)
      q8 = quantized(args, pool);
  }
  const auto& front = all.front();
  // Four shares a worker let a late one be helped out; smaller shares would cost more than they
  // even.
  const int64_t share = (groups + 4 * pool.size() - 1) / (4 * pool.size());
  const int64_t grain = std::max(share, parallel_grain(row_group * front.w->cols * front.tokens));
  pool.parallel_for(groups, grain, [&](int64_t begin, int64_t end, int) noexcept {
    int64_t first = 0;  // group number of the matrix's first
    for (const auto& args : all) {
      const int64_t count = groups_of(*args.w);
      const int64_t b = std::max(begin, first), e = std::min(end, first + count);
      if (b < e)
        multiply(args, activation_of(args) == ActivationFormat::q8 ? q8 : plain(args), b - first,
                 e - first);
      first += count;
    }
  });
}

}  // namespace ktx::ops
