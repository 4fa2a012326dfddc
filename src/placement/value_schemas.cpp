// Names come from the tables that the parsers use. Editors complete from `enum`, so that even where
// a pattern says all there is an enum beside it.
#include "placement/value_schemas.hpp"

#include <string>

#include "core/graph/kv_row.hpp"
#include "core/graph/module.hpp"
#include "core/graph/op.hpp"
#include "core/hw/isa.hpp"
#include "core/quant/format.hpp"
#include "ops/kernels.hpp"

namespace ktx::placement {

namespace {

constexpr const char* range_pattern = "[0-9]+( *- *[0-9]+)?";

Json any_of(std::initializer_list<Json> schemas) {
  Json out;
  for (const auto& schema : schemas) out["anyOf"].push_back(schema);
  return out;
}

Json matching(const std::string& pattern) {
  return {{"type", "string"}, {"pattern", "^" + pattern + "$"}};
}

Json list_of(Json items) {
  Json out{{"type", "array"}, {"minItems", 1}, {"uniqueItems", true}};
  out["items"] = std::move(items);
  return out;
}

// Rows with a name and a doc, after `first` and its doc, if any.
template <class Rows>
Json names_of(const Rows& rows, const char* first = nullptr, const char* first_doc = "") {
  Json out;
  if (first != nullptr) {
    out["enum"].push_back(first);
    out["enumDescriptions"].push_back(first_doc);
  }
  for (const auto& row : rows) {
    out["enum"].push_back(std::string(row.name));
    out["enumDescriptions"].push_back(std::string(row.doc));
  }
  return out;
}

Json gpu_schema() {
  return any_of({{{"enum", {"cuda:0", "cuda:1"}}}, matching("cuda:[0-9]{1,4}")});
}

Json device_schema() {
  return any_of({{{"enum", {"cpu", "cuda:0", "cuda:1"}}}, matching("(cpu|cuda:[0-9]{1,4})")});
}

}  // namespace

Json text_schema() {
  return {{"type", {"string", "number"}}};
}

Json count_schema() {
  return {{"type", "integer"}, {"minimum", 1}};
}

// YAML 1.2, which editors read, knows no yes and no.
Json flag_schema() {
  return {{"enum", {true, false, "yes", "no"}}};
}

Json size_schema() {
  return matching(R"((0*[1-9][0-9]*(\.[0-9]+)?|0+\.0*[1-9][0-9]*) *([KMGT]i?B|B))");
}

Json pattern_schema() {
  return {{"type", "string"}, {"minLength", 1}};
}

Json class_schema() {
  return names_of(graph::classes());
}

Json layers_schema() {
  const std::string range(range_pattern);
  const auto text = matching(" *" + range + "( *, *" + range + ")* *");
  const Json number{{"type", "integer"}, {"minimum", 0}};
  return any_of({number, text, list_of(any_of({number, text}))});
}

Json devices_schema() {
  return any_of({device_schema(), list_of(device_schema())});
}

Json op_schema() {
  Json out{{"enum", {"auto"}}};
  for (const auto& op : graph::ops()) {
    const auto name = std::string(op.name) + ".";
    out["enum"].push_back(name + "auto");
    for (const auto& kernel : ops::kernels(op.op))
      out["enum"].push_back(name + std::string(kernel.name));
  }
  return out;
}

Json format_schema() {
  return names_of(quant::formats(), "keep", "as in the checkpoint");
}

Json numa_schema() {
  return any_of({{{"enum", {"replicate", "shard", "interleave", "node:0", "node:1"}}},
                 matching("node:[0-9]{1,4}")});
}

Json spread_schema() {
  return {{"const", "layers"}};
}

Json experts_schema() {
  Json out{{"type", "object"}, {"additionalProperties", false}};
  auto& keys = out["properties"];
  keys["resident"] = count_schema();
  keys["vram"] = size_schema();
  keys["on"] = any_of({gpu_schema(), list_of(gpu_schema())});
  keys["by"] = pattern_schema();
  keys["list"] = list_of({{"type", "integer"}, {"minimum", 0}});
  keys["keep_ram"] = flag_schema();
  for (const char* key : {"resident", "vram", "list"})
    out["anyOf"].push_back({{"required", Json::array({key})}});
  return out;
}

Json defer_schema() {
  return {{"type", "integer"}, {"minimum", 0}, {"maximum", graph::max_selected}};
}

Json isa_schema() {
  return names_of(hw::isas());
}

Json experts_per_token_schema() {
  Json map{{"type", "object"}, {"additionalProperties", false}, {"minProperties", 1}};
  map["properties"]["default"] = count_schema();
  auto& layers = map["properties"]["layers"];
  layers = {{"type", "object"}, {"additionalProperties", false}};
  const std::string range(range_pattern);
  layers["patternProperties"]["^ *" + range + "( *, *" + range + ")* *$"] = count_schema();
  return any_of({count_schema(), map});
}

Json cache_format_schema() {
  return names_of(graph::kv_formats());
}

Json version_schema() {
  return {{"const", 1}};
}

}  // namespace ktx::placement
