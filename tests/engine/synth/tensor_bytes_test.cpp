// A tensor's bytes are the same in one piece and in many.
#include "engine/synth/tensor_bytes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "catch.hpp"
#include "engine/synth/random.hpp"
#include "ktx/error.hpp"

using namespace ktx;
using namespace ktx::engine;
using quant::Format;

namespace {

TensorBytes tensor(const char* name, uint64_t seed, Format format = Format::q4_k) {
  return {{name, {5000, 2048}, {.format = format, .parameter = 1}},
          std::make_shared<NumberRings>(seed)};
}

std::vector<std::byte> read(const TensorBytes& tensor, uint64_t offset, size_t size) {
  std::vector<std::byte> scratch(tensor.scratch_bytes(offset, size));
  const std::byte* at = tensor.read(offset, size, scratch);
  return {at, at + size};
}

}  // namespace

TEST_CASE("any piece of a synthetic tensor is that piece of the whole") {
  const auto bytes = tensor("a", 1);
  REQUIRE(bytes.size() == 5000u * 8 * 144);
  const auto all = read(bytes, 0, bytes.size());  // longer than a ring gives in place
  for (const uint64_t offset : {uint64_t{0}, uint64_t{4'194'303}, bytes.size() - 5000})
    for (const size_t size : {size_t{0}, size_t{1}, size_t{5000}}) {
      INFO(offset << " " << size);
      CHECK(bytes.scratch_bytes(offset, size) == 0);
      CHECK(std::memcmp(read(bytes, offset, size).data(), all.data() + offset, size) == 0);
    }
  CHECK_THROWS_AS(bytes.read(bytes.size(), 1, {}), Error);
}

TEST_CASE("name and seed decide on bytes and stamp") {
  const auto first = [](const TensorBytes& t) { return read(t, 0, 2000); };
  CHECK(first(tensor("a", 1)) == first(tensor("a", 1)));
  CHECK(first(tensor("a", 1)) != first(tensor("b", 1)));
  CHECK(first(tensor("a", 1)) != first(tensor("a", 2)));
  CHECK(tensor("a", 1).stamp() == tensor("a", 1).stamp());
  CHECK(tensor("a", 1).stamp() != tensor("b", 1).stamp());
  CHECK(tensor("a", 1).stamp() != tensor("a", 2).stamp());
  CHECK(tensor("a", 1).stamp() != tensor("a", 1, Format::q6_k).stamp());
}

TEST_CASE("a router of such rows chooses all experts about equally") {
  constexpr int64_t experts = 64, cols = 2048, tokens = 500, top = 8;
  const TensorBytes router(
      {"blk.1.ffn_gate_inp.weight", {experts, cols}, {.format = Format::f32, .parameter = 0.02}},
      std::make_shared<NumberRings>(1));
  const auto bytes = read(router, 0, router.size());
  const auto* rows = reinterpret_cast<const float*>(bytes.data());
  Random random(5);
  std::vector<int> chosen(experts);
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<double> x(cols);
    for (auto& number : x) number = random.normal();
    std::vector<std::pair<double, size_t>> scores;
    for (size_t e = 0; e < experts; ++e)
      scores.emplace_back(std::inner_product(x.begin(), x.end(), rows + e * cols, 0.0), e);
    std::sort(scores.rbegin(), scores.rend());
    for (size_t i = 0; i < top; ++i) ++chosen[scores[i].second];
  }
  // 500 draws of probability 1/8: 62.5 each, with a deviation of 7.4. Six of them.
  for (const int count : chosen) CHECK(std::abs(count - 62.5) < 45);
}

TEST_CASE("tensors of one distribution share a ring") {
  NumberRings rings(1);
  const Numbers numbers{.format = Format::f32, .parameter = 1};
  const auto* ring = &rings.of(numbers);
  CHECK(&rings.of(numbers) == ring);
  CHECK(&rings.of({.format = Format::f32, .parameter = 2}) != ring);
  CHECK(&rings.of({.format = Format::f32, .around = true, .parameter = 1}) != ring);
}
