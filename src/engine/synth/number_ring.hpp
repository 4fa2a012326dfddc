// An endless supply of random numbers at no cost: a few megabytes that repeat.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "engine/synth/contents.hpp"

namespace ktx::engine {

/// An endless sequence of numbers of one distribution, accessed in place: generating numbers, at 3
/// GB/s per core, would take most of the time of loading a model. The period is a prime number of
/// units, about 4 MiB, so that rows start at every unit before two of them start at the same one.
class NumberRing {
 public:
  /// The longest piece that can be accessed in place.
  static constexpr size_t longest = size_t{4} << 20;

  NumberRing(const Numbers& numbers, uint64_t seed);

  const Numbers& numbers() const noexcept { return numbers_; }
  /// Maps any number to a position in the ring where a unit begins.
  uint64_t start(uint64_t number) const noexcept { return number % units_ * unit_bytes_; }
  /// The bytes at a position, at least `longest` of them. The ring is generated on first use.
  const std::byte* at(uint64_t position) const;

 private:
  void make() const;

  Numbers numbers_;
  uint64_t seed_;
  size_t unit_bytes_, units_;
  mutable std::once_flag made_;
  mutable std::vector<std::byte> bytes_;
};

}  // namespace ktx::engine
