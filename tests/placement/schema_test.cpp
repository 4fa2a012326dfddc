// The JSON Schema: that of the repository, and that it names every keyword.
#include "placement/schema.hpp"

#include <filesystem>

#include "catch.hpp"
#include "core/base/json.hpp"
#include "placement/keywords.hpp"
#include "support/golden_file.hpp"

using namespace ktx;
using namespace ktx::placement;

namespace {

template <class Row>
void check_map(const Json& schema, std::span<const Row> table) {
  CHECK(schema["additionalProperties"] == false);
  CHECK(schema["properties"].size() == table.size());
  for (const auto& row : table) {
    INFO(row.name);
    REQUIRE(schema["properties"].contains(std::string(row.name)));
    const auto& property = schema["properties"][std::string(row.name)];
    CHECK(property["description"].get<std::string>().find(row.doc) != std::string::npos);
    CHECK(property.size() >= 2);  // it says more than what it is for
  }
}

}  // namespace

// With KTX_UPDATE_GOLDEN=1 in the environment the file is first written anew.
TEST_CASE("optimize_rules/ktx.schema.json is the schema of this version") {
  const auto file = std::filesystem::path(KTX_SOURCE_DIR) / "optimize_rules/ktx.schema.json";
  CHECK(test::golden_file(file, rules_schema()) == rules_schema());
}

TEST_CASE("the schema has every keyword at its place") {
  const auto schema = Json::parse(rules_schema());
  check_map(schema, file_keywords());
  const auto& top = schema["properties"];
  check_map(top["machine"], machine_keywords());
  check_map(top["model"], model_keywords());
  check_map(top["cache"], cache_keywords());
  const auto& rule = top["rules"]["items"];
  check_map(rule, rule_keywords());
  check_map(rule["properties"]["match"], match_keywords());
  for (const char* key : {"place", "decode", "prefill"})
    check_map(rule["properties"][key], place_keywords());
  CHECK(rule["required"] == Json{"name", "match", "place"});
  CHECK(schema["required"] == Json{"ktx", "rules"});
}

TEST_CASE("the shipped rules files name the schema") {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(
           std::filesystem::path(KTX_SOURCE_DIR) / "optimize_rules")) {
    if (entry.path().extension() != ".yaml") continue;
    INFO(entry.path());
    const auto text = base::read_text(entry.path());
    const std::string modeline = "# yaml-language-server: $schema=";
    REQUIRE(text.starts_with(modeline));
    const auto name = text.substr(modeline.size(), text.find('\n') - modeline.size());
    CHECK(std::filesystem::exists(entry.path().parent_path() / name));
  }
}
