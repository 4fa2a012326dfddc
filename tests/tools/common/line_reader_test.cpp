// Where a chat's history is kept. Readers are tested on a pseudo terminal: chat_test.py.
#include "tools/common/line_reader.hpp"

#include "catch.hpp"

using ktx::tools::history_file;

TEST_CASE("line reader: the history lies where the XDG specification says") {
  CHECK(history_file("/s", "/home/x") == "/s/ktx/history");
  CHECK(history_file(nullptr, "/home/x") == "/home/x/.local/state/ktx/history");
  CHECK(history_file("", "/home/x") == "/home/x/.local/state/ktx/history");
  CHECK(history_file("s", "/home/x") == "/home/x/.local/state/ktx/history");
  CHECK(history_file(nullptr, nullptr).empty());
  CHECK(history_file(nullptr, "").empty());
}
