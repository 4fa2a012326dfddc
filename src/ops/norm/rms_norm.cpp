// RMS normalisation of rows, in groups.
#include "ops/norm/rms_norm.hpp"

#include <cmath>

#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

void norm_group(const RmsNormArgs& args, const float* x, float* y) noexcept {
  const float mean = args.kernel->functions->sum_squares(x, args.width) / float(args.width);
  const float inverse = 1.0f / std::sqrt(mean + args.eps);
  for (int64_t i = 0; i < args.width; ++i) y[i] = args.weight[i] * (x[i] * inverse);
}

}  // namespace

void rms_norm(const RmsNormArgs& args, hw::WorkerPool& pool) noexcept {
  for_each(pool, args.tokens * args.groups, 4 * args.width, [&](int64_t i, int) noexcept {
    const int64_t token = i / args.groups, column = i % args.groups * args.width;
    norm_group(args, args.x + token * args.x_stride + column,
               args.y + token * args.y_stride + column);
  });
}

}  // namespace ktx::ops
