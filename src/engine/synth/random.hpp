// Pseudo-random numbers that are the same on every machine.
#pragma once

#include <cstdint>
#include <string_view>

namespace ktx::engine {

/// splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
class Random {
 public:
  explicit Random(uint64_t seed) noexcept : state_(seed) {}

  uint64_t next() noexcept {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  /// Even in [low, high).
  double between(double low, double high) noexcept {
    return low + (high - low) * (static_cast<double>(next() >> 11) * 0x1p-53);
  }
  /// Even among low ... high.
  int whole(int low, int high) noexcept {
    return low + static_cast<int>(next() % static_cast<uint64_t>(high - low + 1));
  }
  /// Standard normal but for its ends: the sum of twelve even numbers (no more than 6 in size).
  double normal() noexcept {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += between(0, 1);
    return sum;
  }

 private:
  uint64_t state_;
};

/// A seed that depends on all bits of both.
inline uint64_t mixed_seed(uint64_t seed, uint64_t part) noexcept {
  return Random(Random(seed).next() ^ part).next();
}

/// FNV-1a.
inline uint64_t hash(std::string_view text) noexcept {
  uint64_t h = 0xcbf29ce484222325u;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return h;
}

}  // namespace ktx::engine
