// The reference experts: plain f32 loops over decoded rows.
#include <cmath>
#include <vector>

#include "ops/moe/moe.hpp"

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

}  // namespace

void moe_ref(const MoeArgs& args) {
  for (int64_t t = 0; t < args.tokens; ++t) {
    float* y = args.y + t * args.y_stride;
    for (int64_t r = 0; r < args.hidden; ++r) y[r] = 0;
    for (int64_t i = t * args.top_k; i < (t + 1) * args.top_k; ++i) {
      if (args.ids[i] < 0) continue;
      const int slot = args.slots == nullptr ? args.ids[i] : args.slots[args.ids[i]];
      if (slot < 0) continue;
      const float* x = args.x + t * args.x_stride;
      std::vector<float> h = product(args.gate, slot, x);
      const std::vector<float> up = product(args.up, slot, x);
      for (size_t j = 0; j < h.size(); ++j) h[j] = h[j] / (1 + std::exp(-h[j])) * up[j];
      const std::vector<float> out = product(args.down, slot, h.data());
      for (int64_t r = 0; r < args.hidden; ++r)
        y[r] += args.weights[i] * out[static_cast<size_t>(r)];
    }
  }
}

}  // namespace ktx::ops
