// The keyword tables: complete rows, and a reference that names them all.
#include "placement/keywords.hpp"

#include <sstream>

#include "catch.hpp"

using namespace ktx;
using namespace ktx::placement;

namespace {

template <class Row>
void check_table(std::span<const Row> table, const std::string& reference) {
  for (const auto& row : table) {
    INFO(row.name);
    CHECK_FALSE(row.type.empty());
    CHECK_FALSE(row.doc.empty());
    CHECK(row.parse != nullptr);
    CHECK(reference.find("  " + std::string(row.name) + ": " + std::string(row.type) + "\n") !=
          std::string::npos);
  }
}

}  // namespace

TEST_CASE("every keyword has a type, a doc, a parser and a line in the reference") {
  const auto reference = keyword_reference();
  check_table(file_keywords(), reference);
  check_table(machine_keywords(), reference);
  check_table(model_keywords(), reference);
  check_table(cache_keywords(), reference);
  check_table(rule_keywords(), reference);
  check_table(match_keywords(), reference);
  check_table(place_keywords(), reference);
  for (const auto& row : match_keywords()) CHECK(row.apply != nullptr);
  for (const auto& row : place_keywords()) CHECK(row.apply != nullptr);
  for (const auto& row : machine_keywords()) CHECK(row.apply != nullptr);
  for (const auto& row : model_keywords()) CHECK(row.apply != nullptr);
  for (const auto& row : cache_keywords()) CHECK(row.apply != nullptr);
}

TEST_CASE("the reference names classes, formats and levels, in at most 100 columns") {
  const auto reference = keyword_reference();
  for (const char* name :
       {"moe.experts", "attention.mla", "int4/64", "q4_k", "amx_int8", "rms_norm"})
    CHECK(reference.find(name) != std::string::npos);
  std::istringstream lines(reference);
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    CHECK(line.size() <= 100);
  }
}
