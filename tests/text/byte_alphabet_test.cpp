// The byte alphabet, both ways.
#include "text/byte_alphabet.hpp"

#include <set>

#include "catch.hpp"

using namespace ktx::text;

TEST_CASE("the published letters of some bytes") {
  CHECK(to_byte_alphabet(" \n\t") == "ĠĊĉ");
  CHECK(to_byte_alphabet("Az~!") == "Az~!");
  CHECK(to_byte_alphabet("é") == "Ã©");
  CHECK(to_byte_alphabet(std::string("\0\x7F\xAD\xFF", 4)) == "ĀġŃÿ");
}

TEST_CASE("every byte has a letter of its own and comes back") {
  std::set<std::string> letters;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    const auto letter = to_byte_alphabet(text);
    letters.insert(letter);
    CHECK(from_byte_alphabet(letter) == text);
  }
  CHECK(letters.size() == 256);
}

TEST_CASE("what is not of the alphabet has no bytes") {
  for (const char* text : {" ", "a b", "<｜User｜>", "\u0144", "\xC4", "中"}) {
    INFO(text);
    CHECK_FALSE(from_byte_alphabet(text));
  }
  CHECK(from_byte_alphabet("") == "");
}
