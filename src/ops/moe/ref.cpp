// The reference experts: plain f32 loops over decoded rows.
#include <cmath>
#include <vector>

#include "ops/moe/moe_work.hpp"

namespace ktx::ops {
namespace {

/// Expert e's matrix times x.
std::vector<float> product(const PackedMatrix& w, int e, const float* x) {
  const std::byte* data = w.data + e * w.matrix_bytes;
  const int64_t row_bytes = quant::row_bytes(w.format, w.cols);
  std::vector<float> row(static_cast<size_t>(w.cols)), y(static_cast<size_t>(w.rows));
  for (int64_t r = 0; r < w.rows; ++r) {
    quant::info(w.format).decode(data + r * row_bytes, row.data(), w.cols);
    for (size_t c = 0; c < row.size(); ++c) y[static_cast<size_t>(r)] += row[c] * x[c];
  }
  return y;
}

/// One token through an expert.
std::vector<float> run_expert(const ExpertMatrices& e, const float* x) {
  std::vector<float> h = product(e.gate, e.index, x);
  const std::vector<float> up = product(e.up, e.index, x);
  for (size_t j = 0; j < h.size(); ++j) h[j] = h[j] / (1 + std::exp(-h[j])) * up[j];
  return product(e.down, e.index, h.data());
}

}  // namespace

void moe_ref(const MoeArgs& args) {
  for (int64_t t = 0; t < args.tokens; ++t) {
    const float* x = args.x + t * args.x_stride;
    std::vector<float> y(static_cast<size_t>(args.hidden));
    for (int64_t i = t * args.top_k; i < (t + 1) * args.top_k; ++i) {
      if (args.ids[i] < 0) continue;
      const int slot = args.slots == nullptr ? args.ids[i] : args.slots[args.ids[i]];
      if (slot < 0) continue;
      const auto out = run_expert(matrices_of(args, slot), x);
      for (size_t r = 0; r < y.size(); ++r) y[r] += args.weights[i] * out[r];
    }
    if (args.shared != nullptr) {
      const auto out = run_expert(matrices_of(args, args.experts), x);
      for (size_t r = 0; r < y.size(); ++r) y[r] += out[r];
    }
    for (size_t r = 0; r < y.size(); ++r) {
      const int64_t at = t * args.y_stride + static_cast<int64_t>(r);
      args.y[at] = (args.add != nullptr ? args.add[at] : 0.0f) + y[r];
    }
  }
}

}  // namespace ktx::ops
