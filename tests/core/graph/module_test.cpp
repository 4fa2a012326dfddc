// Modules and the table of their classes.
#include "core/graph/module.hpp"

#include <set>

#include "catch.hpp"
#include "tiny.hpp"

using namespace ktx::graph;

TEST_CASE("a weight is found by its role") {
  const Module m =
      test::module("m", "linear", {test::weight("weight", 1, 2, 3), test::weight("bias", 1, 1, 2)});
  REQUIRE(m.find("bias") != nullptr);
  CHECK(m.find("bias")->cols == 2);
  CHECK(m.find("bias")->is_vector());
  CHECK_FALSE(m.find("weight")->is_vector());
  CHECK(m.find("weight")->weights() == 6);
  CHECK(m.find("gate") == nullptr);
}

TEST_CASE("class names are unique and a dotted class has its parent") {
  std::set<std::string_view> names;
  for (const ClassInfo& row : classes()) {
    CHECK(names.insert(row.name).second);
    CHECK(!row.doc.empty());
    const size_t dot = row.name.rfind('.');
    if (dot != std::string_view::npos) CHECK(names.count(row.name.substr(0, dot)) == 1);
  }
  CHECK(names.count("moe.experts") == 1);
}
