// Digests differ when anything differs.
#include "core/base/digest.hpp"

#include <set>
#include <vector>

#include "catch.hpp"

using namespace ktx::base;

TEST_CASE("every bit and every length counts") {
  std::vector<std::byte> bytes(200);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 37 + 1);
  std::set<std::string> seen;
  size_t digests = 0;
  const auto add = [&](std::span<const std::byte> what) {
    seen.insert(digest(what).hex());
    ++digests;
  };
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    add(bytes);
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  for (size_t length = 0; length <= bytes.size(); ++length) add({bytes.data(), length});
  const std::vector<std::byte> zeros(200);
  for (size_t length = 1; length <= zeros.size(); ++length) add({zeros.data(), length});
  CHECK(seen.size() == digests);
}

TEST_CASE("both halves change about half of their bits with any input bit") {
  std::vector<std::byte> bytes(96);
  const Digest before = digest(bytes);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    const Digest after = digest(bytes);
    // 64 fair coins fall outside of 8 to 56 heads less than once in 10^9.
    for (const uint64_t changed : {before.high ^ after.high, before.low ^ after.low}) {
      CHECK(__builtin_popcountll(changed) >= 8);
      CHECK(__builtin_popcountll(changed) <= 56);
    }
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
  }
}

TEST_CASE("a digest is written as 32 digits, and text as its bytes") {
  CHECK(Digest{0x12, 0xabc}.hex() == "00000000000000120000000000000abc");
  const std::string_view text = "text";
  CHECK(digest(text) == digest(std::as_bytes(std::span(text))));
  CHECK_FALSE(digest(text) == digest(std::string_view("texu")));
}
