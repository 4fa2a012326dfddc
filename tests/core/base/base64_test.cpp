// Texts of RFC 4648 and wrong ones.
#include "core/base/base64.hpp"

#include "catch.hpp"

using ktx::base::from_base64;

TEST_CASE("base 64 is decoded") {
  CHECK(from_base64("") == "");
  CHECK(from_base64("Zg==") == "f");
  CHECK(from_base64("Zm8=") == "fo");
  CHECK(from_base64("Zm9v") == "foo");
  CHECK(from_base64("Zm9vYmFy") == "foobar");
  CHECK(from_base64("AAD/+/8=") == std::string("\0\0\xFF\xFB\xFF", 5));
}

TEST_CASE("what is no base 64 is nothing") {
  for (const char* text :
       {"Zg", "Zg=", "Zg===", "====", "Z===", "Z g=", "Zm9v\n", "Zm=v", "Zm9-", "=Zm9"})
    CHECK_FALSE(from_base64(text));
}
