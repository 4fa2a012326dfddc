// Rotary embedding: both pairings, partial rotation, the table's precision.
#include "ops/attention/rope.hpp"

#include <cmath>
#include <vector>

#include "catch.hpp"
#include "ops/ops_numbers.hpp"

using namespace ktx;

namespace {

graph::Rope make_rope(int pairs, bool interleaved, float magnitude = 1) {
  graph::Rope rope;
  for (int i = 0; i < pairs; ++i) {
    rope.frequency.push_back(std::pow(10000.0f, -float(i) / float(pairs)));
  }
  rope.interleaved = interleaved;
  rope.magnitude = magnitude;
  return rope;
}

}  // namespace

TEST_CASE("rope: rotates pairs by position times frequency and leaves the rest") {
  for (const bool interleaved : {true, false}) {
    const auto rope = make_rope(6, interleaved, 1.25f);
    const ops::RopeTable table(rope, 5000);
    REQUIRE(table.positions() == 5000);
    REQUIRE(table.dims() == 12);
    CHECK(ops::RopeTable::bytes(rope, 5000) == 5000 * 12 * sizeof(float));
    const auto x = test::random_floats(15, 1);
    for (int64_t position : {0, 1, 77, 4999}) {
      auto y = x;
      table.rotate(y.data(), position);
      for (size_t i = 0; i < 6; ++i) {
        const size_t first = interleaved ? 2 * i : i, second = interleaved ? 2 * i + 1 : i + 6;
        const double angle = double(float(position) * rope.frequency[i]);
        const double cos = std::cos(angle), sin = std::sin(angle);
        CHECK(y[first] == Approx(1.25 * (x[first] * cos - x[second] * sin)).margin(1e-6));
        CHECK(y[second] == Approx(1.25 * (x[second] * cos + x[first] * sin)).margin(1e-6));
      }
      for (size_t i = 12; i < 15; ++i) CHECK(y[i] == x[i]);
    }
  }
}

TEST_CASE("rope: products of rotated vectors depend on the distance of their positions alone") {
  const ops::RopeTable table(make_rope(16, true), 300);
  const auto q = test::random_floats(32, 1), k = test::random_floats(32, 2);
  auto product = [&](int64_t at_q, int64_t at_k) {
    auto a = q, b = k;
    table.rotate(a.data(), at_q);
    table.rotate(b.data(), at_k);
    double sum = 0;
    for (size_t i = 0; i < 32; ++i) sum += double(a[i]) * b[i];
    return sum;
  };
  CHECK(product(20, 3) == Approx(product(217, 200)).margin(1e-4));
  CHECK(std::abs(product(20, 3) - product(20, 4)) > 1e-3);
}
