// Rotary position embedding with a precomputed table of angles.
#include "ops/attention/rope.hpp"

#include <cmath>

namespace ktx::ops {

RopeTable::RopeTable(const graph::Rope& rope, int64_t positions)
    : positions_(positions),
      pairs_(int64_t(rope.frequency.size())),
      interleaved_(rope.interleaved),
      cos_sin_(size_t(positions * 2 * pairs_)) {
  for (int64_t position = 0; position < positions; ++position) {
    float* cos = cos_sin_.data() + position * 2 * pairs_;
    for (int64_t i = 0; i < pairs_; ++i) {
      const double angle = float(position) * rope.frequency[size_t(i)];
      cos[i] = float(std::cos(angle)) * rope.magnitude;
      cos[pairs_ + i] = float(std::sin(angle)) * rope.magnitude;
    }
  }
}

uint64_t RopeTable::bytes(const graph::Rope& rope, int64_t positions) noexcept {
  return static_cast<uint64_t>(positions) * 2 * rope.frequency.size() * sizeof(float);
}

void RopeTable::rotate(float* x, int64_t position) const noexcept {
  const float* cos = cos_sin_.data() + position * 2 * pairs_;
  const float* sin = cos + pairs_;
  const int64_t step = interleaved_ ? 2 : 1;        // from one pair to the next
  const int64_t other = interleaved_ ? 1 : pairs_;  // from a pair's first number to its second
  for (int64_t i = 0; i < pairs_; ++i) {
    float* pair = x + i * step;
    const float first = pair[0], second = pair[other];
    pair[0] = first * cos[i] - second * sin[i];
    pair[other] = second * cos[i] + first * sin[i];
  }
}

}  // namespace ktx::ops
