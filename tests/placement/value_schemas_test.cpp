// Schemas of values take what the parsers take, and the names of the tables. What a validator makes
// of them is tested from outside (tests/tools/schema_test.py).
#include "placement/value_schemas.hpp"

#include "catch.hpp"
#include "core/quant/format.hpp"
#include "placement/values.hpp"
#include "sample.hpp"
#include "text/regex.hpp"

using namespace ktx;
using namespace ktx::placement;

namespace {

// Whether a scalar of this text is among a schema's names or matches one of its patterns.
bool takes(const Json& schema, const std::string& text) {
  for (const auto& choice : schema.value("anyOf", Json::array()))
    if (takes(choice, text)) return true;
  for (const auto& name : schema.value("enum", Json::array()))
    if (name == text) return true;
  return schema.contains("pattern") && text::Regex(schema["pattern"]).search(text);
}

template <class Parse>
void same_as_parser(const Json& schema, Parse parse, std::initializer_list<const char*> texts) {
  for (const std::string text : texts) {
    INFO(text);
    const auto error = sample::error_of([&] {
      base::Yaml value;
      value.kind = base::YamlKind::scalar;
      value.scalar = text;
      value.where = "r.yaml:1:1";
      parse(value);
    });
    CHECK(takes(schema, text) == error.empty());
  }
}

}  // namespace

TEST_CASE("schemas take what parsers take") {
  same_as_parser(layers_schema(), [](const auto& v) { parse_layers(v, "layers"); },
                 {"3-60", "3-20,30", " 3 - 4 , 7 ", "3-", "a", "3..4", "1:3", "", "3,,4", "-1"});
  same_as_parser(devices_schema(), [](const auto& v) { parse_devices(v, "device"); },
                 {"cpu", "cuda:0", "cuda:17", "cuda", "gpu", "cuda:", "cpu:0", "cuda:x"});
  same_as_parser(numa_schema(), parse_numa,
                 {"replicate", "shard", "interleave", "node:0", "node:12", "node:", "node", "all"});
  same_as_parser(size_schema(), [](const auto& v) { parse_size(v, "ram"); },
                 {"382GiB", "14 GiB", "1.5TiB", "2TB", "512MB", "3KB", "4KiB", "12B", "0.5GiB",
                  "10GiB", "12", "0GiB", "0.0GiB", "x", "3 gigs", "GiB", "-3GiB"});
  same_as_parser(op_schema(), parse_op,
                 {"auto", "moe.auto", "moe.amx", "linear.onednn", "mla.cuda", "moe", "moe.x", "x"});
  same_as_parser(format_schema(), parse_format,
                 {"keep", "int4/64", "q4_k", "bf16", "Q4_K_M", "int4", ""});
  same_as_parser(class_schema(), parse_class, {"moe.experts", "attention", "experts", ""});
  same_as_parser(isa_schema(), parse_isa, {"avx2", "amx_int8", "amx"});
  same_as_parser(cache_format_schema(), parse_cache_format, {"f32", "bf16", "fp8", "q8_0"});
}

TEST_CASE("every name has a description") {
  for (const auto& schema : {format_schema(), class_schema(), isa_schema(), cache_format_schema()})
    CHECK(schema["enum"].size() == schema["enumDescriptions"].size());
  CHECK(format_schema()["enum"].size() == quant::formats().size() + 1);
}
