// Random numbers without end at no cost: a few megabytes that repeat.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "engine/synth/contents.hpp"

namespace ktx::engine {

/// An endless sequence of numbers of one distribution. What follows a position is given in place:
/// making numbers anew, at 3 GB/s a core, would take most of the time of loading a model. The
/// period is a prime number of units, about 4 MiB, so that rows, whose sizes share no factor with
/// it, begin at every unit of it before one begins where another did.
class NumberRing {
 public:
  /// A longer piece is not to be had in place.
  static constexpr size_t longest = size_t{4} << 20;

  NumberRing(const Numbers& numbers, uint64_t seed);

  const Numbers& numbers() const noexcept { return numbers_; }
  /// A place in the ring where a unit begins, from any number.
  uint64_t start(uint64_t number) const noexcept { return number % units_ * unit_bytes_; }
  /// The bytes at a position; at least `longest` of them. Made when they are first asked for.
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
