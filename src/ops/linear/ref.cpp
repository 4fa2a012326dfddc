// The reference linear layer: plain f32 loops over decoded rows.
#include <vector>

#include "ops/linear/linear.hpp"

namespace ktx::ops {

void linear_ref(const LinearArgs& args) {
  const PackedMatrix& w = *args.w;
  const int64_t row_bytes = quant::row_bytes(w.format, w.cols);
  std::vector<float> row(static_cast<size_t>(w.cols));
  for (int64_t r = 0; r < w.rows; ++r) {
    quant::info(w.format).decode(w.data + r * row_bytes, row.data(), w.cols);
    for (int64_t t = 0; t < args.tokens; ++t) {
      float sum = args.bias == nullptr ? 0.0f : args.bias[r];
      for (int64_t c = 0; c < w.cols; ++c)
        sum += args.x[t * args.x_stride + c] * row[static_cast<size_t>(c)];
      args.y[t * args.y_stride + r] = sum;
    }
  }
}

}  // namespace ktx::ops
