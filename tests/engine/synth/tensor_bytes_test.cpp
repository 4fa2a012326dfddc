// A tensor's bytes are the same in one piece and in many.
#include "engine/synth/tensor_bytes.hpp"

#include <cstring>
#include <vector>

#include "catch.hpp"
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

TEST_CASE("tensors of one distribution share a ring") {
  NumberRings rings(1);
  const Numbers numbers{.format = Format::f32, .parameter = 1};
  const auto* ring = &rings.of(numbers);
  CHECK(&rings.of(numbers) == ring);
  CHECK(&rings.of({.format = Format::f32, .parameter = 2}) != ring);
  CHECK(&rings.of({.format = Format::f32, .around = true, .parameter = 1}) != ring);
}
