// A ring: the same wherever it is read from, and of a period that no row size divides.
#include "engine/synth/number_ring.hpp"

#include <algorithm>
#include <cstring>

#include "catch.hpp"
#include "engine/synth/random_numbers.hpp"

using namespace ktx::engine;
using ktx::quant::Format;

namespace {

// The least p > 0 after which the ring repeats, in units.
uint64_t period(const NumberRing& ring, size_t unit) {
  uint64_t units = 1;
  while (std::memcmp(ring.at(0), ring.at(units * unit), 4 * unit) != 0) ++units;
  return units;
}

}  // namespace

TEST_CASE("what follows a position is the same from every place before it") {
  const NumberRing ring({.format = Format::q4_k, .parameter = 1}, 1);
  const size_t unit = RandomNumbers::unit_bytes(Format::q4_k);
  const uint64_t bytes = period(ring, unit) * unit;
  for (const uint64_t position : {uint64_t{0}, uint64_t{17}, bytes - 100, bytes, 5 * bytes + 3}) {
    INFO(position);
    const std::byte* const from = ring.at(position);
    CHECK(std::memcmp(from + NumberRing::longest - 1000,
                      ring.at(position + NumberRing::longest - 1000), 1000) == 0);
  }
}

TEST_CASE("the period is a prime number of units, about 4 MiB") {
  for (const Format format : {Format::q4_k, Format::q6_k, Format::bf16}) {
    const size_t unit = RandomNumbers::unit_bytes(format);
    const uint64_t units = period(NumberRing({.format = format, .parameter = 1}, 1), unit);
    CHECK(units * unit > 4'000'000);
    CHECK(units * unit < 4'300'000);
    for (uint64_t divisor = 2; divisor * divisor <= units; ++divisor) CHECK(units % divisor != 0);
  }
}

TEST_CASE("starts are units of the period; the seed gives other numbers") {
  const Numbers numbers{.format = Format::f32, .parameter = 1};
  const NumberRing ring(numbers, 1), same(numbers, 1), other(numbers, 2);
  const size_t unit = RandomNumbers::unit_bytes(Format::f32);
  CHECK(ring.start(5) == 5 * unit);
  CHECK(ring.start(period(ring, unit) + 5) == 5 * unit);
  CHECK(std::memcmp(ring.at(0), same.at(0), NumberRing::longest) == 0);
  CHECK(std::memcmp(ring.at(0), other.at(0), 1000) != 0);
}
