// Elementwise ops: silu_mul, add, scale_sigmoid.
#include "ops/elementwise/elementwise.hpp"

#include <cmath>

#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

/// row(a, b, y) of every token.
template <class Row>
void for_rows(const ElementwiseArgs& args, hw::WorkerPool& pool, int64_t cost, Row row) noexcept {
  for_each(pool, args.tokens, cost * args.width, [&](int64_t t, int) noexcept {
    row(args.a + t * args.a_stride, args.b + t * args.b_stride, args.y + t * args.y_stride);
  });
}

}  // namespace

void silu_mul(const ElementwiseArgs& args, hw::WorkerPool& pool) noexcept {
  for_rows(args, pool, 16, [&](const float* a, const float* b, float* y) noexcept {
    args.kernel->functions->silu_mul(a, b, y, args.width);
  });
}

void add(const ElementwiseArgs& args, hw::WorkerPool& pool) noexcept {
  for_rows(args, pool, 4, [&](const float* a, const float* b, float* y) noexcept {
    for (int64_t i = 0; i < args.width; ++i) y[i] = a[i] + b[i];
  });
}

void scale_sigmoid(const ElementwiseArgs& args, hw::WorkerPool& pool) noexcept {
  for_rows(args, pool, 4, [&](const float* a, const float* b, float* y) noexcept {
    const float scale = 1 / (1 + std::exp(-b[0]));
    for (int64_t i = 0; i < args.width; ++i) y[i] = a[i] * scale;
  });
}

}  // namespace ktx::ops
