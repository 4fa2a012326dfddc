// Encoding and decoding a row by a format's table row, into buffers of exactly the right size.
#pragma once

#include <random>
#include <vector>

#include "core/quant/format.hpp"

namespace ktx::quant::test {

using Bytes = std::vector<std::byte>;
using Floats = std::vector<float>;

inline Bytes encode(Format format, const Floats& weights) {
  Bytes row(static_cast<size_t>(row_bytes(format, static_cast<int64_t>(weights.size()))));
  info(format).encode(weights.data(), row.data(), static_cast<int64_t>(weights.size()));
  return row;
}

inline Floats decode(Format format, const Bytes& row, size_t cols) {
  Floats weights(cols);
  info(format).decode(row.data(), weights.data(), static_cast<int64_t>(cols));
  return weights;
}

inline Floats round_trip(Format format, const Floats& weights) {
  return decode(format, encode(format, weights), weights.size());
}

inline Floats gaussian(size_t count, unsigned seed, float deviation = 0.02f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  Floats weights(count);
  for (float& weight : weights) weight = normal(random);
  return weights;
}

/// Sum of squared differences over the sum of squares of a.
inline double relative_error(const Floats& a, const Floats& b) {
  double error = 0, power = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double miss = double{a[i]} - b[i];
    error += miss * miss;
    power += double{a[i]} * a[i];
  }
  return error / power;
}

}  // namespace ktx::quant::test
