// What stands for a file that was not downloaded.
#include "core/base/stand_in.hpp"

#include "catch.hpp"

using ktx::base::stand_in;

TEST_CASE("Git LFS pointers and HTML pages are known by their first bytes") {
  CHECK(stand_in("version https://git-lfs.github.com/spec/v1\n")->find("Git LFS") !=
        std::string::npos);
  CHECK(stand_in("\r\n <!DOCTYPE html>")->find("HTML") != std::string::npos);
  CHECK(stand_in("<html lang=en>").has_value());
  CHECK_FALSE(stand_in("GGUF").has_value());
  CHECK_FALSE(stand_in("{\"a\": 1}").has_value());
  CHECK_FALSE(stand_in("").has_value());
  CHECK_FALSE(stand_in(" \n").has_value());
}
