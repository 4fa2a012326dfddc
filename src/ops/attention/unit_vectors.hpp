// Unit vectors as activations: what a matrix makes of them are its columns, whatever its layout is.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/arena.hpp"

namespace ktx::ops {

/// Vector t is 1 in column t. They overlap: each begins one number before the last.
struct UnitVectors {
  UnitVectors(Arena& arena, int64_t side) noexcept
      : size(side), numbers(arena.take<float>(2 * side - 1)) {}
  void fill() noexcept {
    std::fill_n(numbers, 2 * size - 1, 0.0f);
    numbers[size - 1] = 1;
  }
  const float* first() const noexcept { return numbers + size - 1; }
  static constexpr int64_t stride = -1;  // floats

  int64_t size;
  float* numbers;
};

}  // namespace ktx::ops
