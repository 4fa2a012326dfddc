// Digests are SHA-256: what is published for it holds.
#include "core/base/digest.hpp"

#include <vector>

#include "catch.hpp"

using namespace ktx::base;

TEST_CASE("the digests of FIPS 180-4's examples") {
  CHECK(digest("").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(digest("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").hex() ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST_CASE("text is its bytes; two digests are equal when all bytes are") {
  const std::string_view text = "text";
  CHECK(digest(text) == digest(std::as_bytes(std::span(text))));
  for (size_t byte = 0; byte < 32; ++byte) {
    Digest other = digest(text);
    other.bytes[byte] ^= 1;
    CHECK_FALSE(other == digest(text));
  }
}
