// The routed experts by their formula.
#include <cmath>
#include <vector>

#include "ops/moe/moe.hpp"

namespace ktx::ops {

namespace {

// y = W x for one expert's matrix.
std::vector<double> product(const ExpertMatrix& m, int32_t expert, const std::vector<double>& x) {
  const auto& w = m.matrix;
  const std::byte* data = w.data + expert * m.expert_bytes;
  std::vector<float> row(static_cast<size_t>(w.cols));
  std::vector<double> y(static_cast<size_t>(w.rows));
  for (int64_t r = 0; r < w.rows; ++r) {
    quant::info(w.format).decode(data + r * quant::row_bytes(w.format, w.cols), row.data(), w.cols);
    for (size_t c = 0; c < row.size(); ++c) y[static_cast<size_t>(r)] += double{row[c]} * x[c];
  }
  return y;
}

}  // namespace

void moe_ref(const MoeArgs& args) {
  for (int64_t t = 0; t < args.tokens; ++t) {
    const float* row = args.x + t * args.x_stride;
    const std::vector<double> x(row, row + args.hidden);
    std::vector<double> y(static_cast<size_t>(args.hidden));
    for (int64_t i = t * args.top_k; i < (t + 1) * args.top_k; ++i) {
      const auto gate = product(args.gate, args.ids[i], x);
      auto h = product(args.up, args.ids[i], x);
      for (size_t j = 0; j < h.size(); ++j) h[j] *= gate[j] / (1 + std::exp(-gate[j]));
      const auto out = product(args.down, args.ids[i], h);
      for (size_t j = 0; j < y.size(); ++j) y[j] += double{args.weights[i]} * out[j];
    }
    for (size_t j = 0; j < y.size(); ++j)
      args.y[t * args.y_stride + static_cast<int64_t>(j)] = static_cast<float>(y[j]);
  }
}

}  // namespace ktx::ops
