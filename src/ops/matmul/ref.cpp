// The reference inner loop: plain float32.
#include <cstring>

#include "ops/matmul/decoded_rows.hpp"

namespace ktx::ops {

void dot_ref(const DotArgs& args) noexcept {
  for (int64_t t = 0; t < args.tokens; ++t) {
    const uint8_t* x = args.x + args.x_row_bytes * (args.x_rows ? args.x_rows[t] : t);
    for (int64_t r = 0; r < args.rows; ++r) {
      float sum = 0;
      for (int64_t c = 0; c < args.cols; ++c) {
        float value;
        std::memcpy(&value, x + c * 4, sizeof(value));
        sum += args.w[r * args.w_stride + c] * value;
      }
      args.y[t * args.y_stride + r] += sum;
    }
  }
}

}  // namespace ktx::ops
