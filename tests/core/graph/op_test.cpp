// The table of ops.
#include "core/graph/op.hpp"

#include <set>
#include <string>

#include "catch.hpp"

using namespace ktx::graph;

TEST_CASE("every op has one row, found by its number and by its name") {
  std::set<std::string_view> names;
  for (const OpInfo& row : ops()) {
    CHECK(&info(row.op) == &row);
    CHECK(find_op(row.name) == row.op);
    CHECK(!row.doc.empty());
    CHECK(names.insert(row.name).second);
  }
  CHECK(ops().size() == static_cast<size_t>(Op::last_rows) + 1);
  CHECK_FALSE(find_op("attention").has_value());
}

TEST_CASE("ops whose matrices may be stored in any format") {
  std::set<std::string_view> owners;
  for (const OpInfo& row : ops()) {
    if (row.owns_matrix) owners.insert(row.name);
  }
  CHECK(owners == std::set<std::string_view>{"embedding", "linear", "mla", "moe"});
}
