// The linear layer by its formula.
#include <vector>

#include "ops/linear/linear.hpp"

namespace ktx::ops {

void linear_ref(const LinearArgs& args) {
  const auto& w = *args.w;
  const int64_t row_bytes = quant::row_bytes(w.format, w.cols);
  std::vector<float> row(static_cast<size_t>(w.cols));
  for (int64_t r = 0; r < w.rows; ++r) {
    quant::info(w.format).decode(w.data + r * row_bytes, row.data(), w.cols);
    for (int64_t t = 0; t < args.tokens; ++t) {
      double sum = args.bias == nullptr ? 0.0 : double{args.bias[r]};
      for (int64_t c = 0; c < w.cols; ++c)
        sum += double{row[static_cast<size_t>(c)]} * args.x[t * args.x_stride + c];
      args.y[t * args.y_stride + r] = static_cast<float>(sum);
    }
  }
}

}  // namespace ktx::ops
