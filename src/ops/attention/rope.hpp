// Rotary position embedding with a precomputed table of angles.
#pragma once

#include <cstdint>
#include <vector>

#include "core/graph/op.hpp"

namespace ktx::ops {

/// cos and sin of every pair at positions [0, positions()), times the rope's magnitude. The angle
/// is the float32 product position * frequency, as in the reference implementations.
class RopeTable {
 public:
  RopeTable() = default;
  RopeTable(const graph::Rope& rope, int64_t positions);

  /// Bytes that a table takes.
  static uint64_t bytes(const graph::Rope& rope, int64_t positions) noexcept;

  int64_t positions() const noexcept { return positions_; }
  int64_t dims() const noexcept { return 2 * pairs_; }
  bool interleaved() const noexcept { return interleaved_; }
  /// [positions, 2, pairs] cos, then sin.
  const std::vector<float>& cos_sin() const noexcept { return cos_sin_; }

  /// Rotates the first dims() numbers of x in place.
  void rotate(float* x, int64_t position) const noexcept;

 private:
  int64_t positions_ = 0;
  int64_t pairs_ = 0;
  bool interleaved_ = false;
  std::vector<float> cos_sin_;  // [positions, 2, pairs]
};

}  // namespace ktx::ops
