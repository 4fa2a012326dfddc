// Plain tables and the words in them.
#include "placement/explain/table.hpp"

#include "catch.hpp"

using namespace ktx::placement;

TEST_CASE("a table's columns are as wide as their longest cell") {
  CHECK(table({{"a", "bcd", "e"}, {"fgh", "", "i"}, {"j"}}) ==
        "  a    bcd  e\n  fgh       i\n  j\n");
  CHECK(table({}).empty());
}

TEST_CASE("one thing, several things") {
  CHECK(plural(1, "layer") == "1 layer");
  CHECK(plural(0, "layer") == "0 layers");
  CHECK(plural(12, "layer") == "12 layers");
}

TEST_CASE("durations have the unit that fits") {
  CHECK(duration_text(7.2) == "7.20 s");
  CHECK(duration_text(1.21e-3) == "1.21 ms");
  CHECK(duration_text(48e-6) == "48.0 us");
}

TEST_CASE("layers as ranges, cut short where there are many") {
  CHECK(layers_text({}).empty());
  CHECK(layers_text({0, 1, 2, 5}) == "0-2,5");
  CHECK(layers_text({1, 3, 5, 7, 9, 11, 13, 15, 17}) == "1,3,5,7,9,11,.. (9)");
}

TEST_CASE("a place in a file without its folders") {
  CHECK(file_name("rules/of/box.yaml:7") == "box.yaml:7");
  CHECK(file_name("--context") == "--context");
}
