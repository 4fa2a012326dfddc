// Control characters of names.
#include "core/base/printable.hpp"

#include "catch.hpp"

namespace ktx::base {

TEST_CASE("control characters are escaped, all else stays") {
  CHECK(printable("").empty());
  CHECK(printable("DeepSeek V3, 671 B") == "DeepSeek V3, 671 B");
  CHECK(printable("\u00e9 \u4f60 \u00a0") == "\u00e9 \u4f60 \u00a0");
  CHECK(printable("T\nfoo: 1\t\r") == "T\\nfoo: 1\\t\\x0d");
  CHECK(printable("\x1b[31mred\x7f") == "\\x1b[31mred\\x7f");
  CHECK(printable("\u009b31m") == "\\x9b31m");  // what ESC [ is in one character
  CHECK(printable(std::string_view("\0", 1)) == "\\x00");
  CHECK(printable("\xc2") == "\xc2");
}

}  // namespace ktx::base
