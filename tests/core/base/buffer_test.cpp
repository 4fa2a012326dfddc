// Buffer: alignment, zeroes, moves, refusal.
#include "core/base/buffer.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "catch.hpp"
#include "core/base/failure.hpp"

using ktx::base::Buffer;
using ktx::test::failure;

TEST_CASE("a buffer is aligned, zeroed and writable to its last byte") {
  for (const size_t size : {size_t{1}, size_t{64}, size_t{4096}, size_t{4097}, size_t{3} << 20})
    for (const bool huge : {false, true}) {
      INFO(size << (huge ? " huge" : ""));
      Buffer buffer(size, huge);
      REQUIRE(buffer.size() == size);
      const auto address = reinterpret_cast<uintptr_t>(buffer.data());
      REQUIRE(address % (huge ? size_t{2} << 20 : size_t{64}) == 0);
      const auto bytes = buffer.bytes();
      REQUIRE(std::all_of(bytes.begin(), bytes.end(), [](auto b) { return b == std::byte{0}; }));
      std::fill(bytes.begin(), bytes.end(), std::byte{0x5a});
      REQUIRE(buffer.as<uint8_t>()[size - 1] == 0x5a);
      REQUIRE(std::as_const(buffer).as<uint8_t>()[0] == 0x5a);
    }
}

TEST_CASE("an empty buffer holds nothing") {
  REQUIRE(Buffer().data() == nullptr);
  REQUIRE(Buffer(0).data() == nullptr);
  REQUIRE(Buffer(0, true).size() == 0);
}

TEST_CASE("moving a buffer hands over its memory") {
  Buffer a(100);
  a.as<char>()[7] = 'x';
  const auto* const data = a.data();
  Buffer b(std::move(a));
  REQUIRE(b.data() == data);
  REQUIRE(a.data() == nullptr);  // NOLINT(bugprone-use-after-move): what a move leaves is stated
  REQUIRE(a.size() == 0);
  Buffer c(5);
  c = std::move(b);
  REQUIRE(c.data() == data);
  REQUIRE(c.size() == 100);
  REQUIRE(c.as<char>()[7] == 'x');
  REQUIRE(b.data() == nullptr);  // NOLINT(bugprone-use-after-move)
  Buffer& same = c;
  c = std::move(same);
  REQUIRE(c.as<char>()[7] == 'x');
}

TEST_CASE("memory that no machine has is refused") {
  for (const bool huge : {false, true}) {
    REQUIRE(failure([&] { Buffer(size_t{1} << 60, huge); }) ==
            "environment not enough memory for 1048576 TiB");
    REQUIRE(failure([&] { Buffer(SIZE_MAX, huge); }) ==
            "environment not enough memory for 16777216 TiB");
  }
}
