// Values of rule keywords: what they accept and what they say to everything else.
#include "placement/values.hpp"

#include "catch.hpp"
#include "sample.hpp"

using namespace ktx;
using namespace ktx::placement;
using sample::error_of;

namespace {

base::Yaml value(const std::string& text) {
  return base::parse_yaml("key: " + text, "r.yaml").find("key")[0];
}

std::string layers_error(const std::string& text) {
  return error_of([&] { parse_layers(value(text), "layers"); });
}

}  // namespace

TEST_CASE("layers are a number, a range, or a list of both") {
  using List = std::vector<LayerRange>;
  CHECK(parse_layers(value("7"), "layers") == List{{7, 7}});
  CHECK(parse_layers(value("3-60"), "layers") == List{{3, 60}});
  CHECK(parse_layers(value("3-20, 30"), "layers") == List{{3, 20}, {30, 30}});
  CHECK(parse_layers(value("[0, 3 - 5]"), "layers") == List{{0, 0}, {3, 5}});
  CHECK(parse_layers(value("[7, 3-4, 5, '4,9']"), "layers") == List{{3, 5}, {7, 7}, {9, 9}});
  CHECK(to_string(List{{3, 20}, {30, 30}}) == "3-20,30");
}

TEST_CASE("bad layers") {
  const std::string expected =
      ": layers: expected a layer (7), a range (3-60) or a list of them (3-20,30), found ";
  CHECK(layers_error("60-3") == "r.yaml:1:6" + expected +
                                    "'60-3'\n  note: a range goes from its first to its last "
                                    "layer: 3-60");
  for (const char* bad : {"3..5", "3:5"})
    CHECK(layers_error("'" + std::string(bad) + "'") ==
          "r.yaml:1:6" + expected + "'" + bad + "'\n  note: a range is first-last, both included");
  for (const char* bad : {"3-", "-3", "a-b", "3,,4", "4096", "99999999999", "3-5-7", "+3"})
    CHECK(layers_error(bad) == "r.yaml:1:6" + expected + "'" + bad + "'");
  CHECK(layers_error("[]") == "r.yaml:1:6" + expected + "a list");
  CHECK(layers_error("{a: 1}") == "r.yaml:1:6" + expected + "a map");
}

TEST_CASE("values: devices") {
  CHECK(parse_devices(value("cpu"), "device") == std::vector<std::string>{"cpu"});
  CHECK(parse_devices(value("['cuda:0', 'cuda:1']"), "device") ==
        std::vector<std::string>{"cuda:0", "cuda:1"});
  CHECK(device_kind("cuda:1") == "cuda");
  CHECK(device_number("cuda:1") == 1);
  CHECK(parse_devices(value("'cuda:9999'"), "device").size() == 1);
  CHECK(device_number("cuda:9999") == 9999);
  CHECK(error_of([] {
          parse_devices(value("'cuda:10000'"), "device");
        }).find("unknown device 'cuda:10000'") != std::string::npos);
  CHECK(device_kind("cpu") == "cpu");
  CHECK(device_number("cpu") == 0);
  CHECK(error_of([] { parse_devices(value("cuda0"), "device"); }) ==
        "r.yaml:1:6: unknown device 'cuda0'\n  note: did you mean 'cuda:0'?\n"
        "  note: valid devices: cpu, cuda:0, cuda:1");
  CHECK(error_of([] { parse_devices(value("[cpu, cpu]"), "device"); }) ==
        "r.yaml:1:12: device 'cpu' is listed twice");
  CHECK(error_of([] { parse_devices(value("[]"), "device"); }) ==
        "r.yaml:1:6: device: expected at least one device");
}

TEST_CASE("values: ops") {
  CHECK_FALSE(parse_op(value("auto")).op);
  const auto named = parse_op(value("moe.ref"));
  CHECK(named.op == graph::Op::moe);
  CHECK(named.kernel == "ref");
  CHECK(parse_op(value("linear.auto")).kernel == "auto");
  CHECK(error_of([] { parse_op(value("mo.auto")); })
            .rfind("r.yaml:1:6: unknown op 'mo'\n  note: did you mean 'moe'?\n  note: valid ops: "
                   "embedding, ",
                   0) == 0);
  CHECK(error_of([] {
          parse_op(value("moe.rfe"));
        }).rfind("r.yaml:1:6: op moe has no kernel 'rfe'\n  note: did you mean 'ref'", 0) == 0);
  CHECK(error_of([] { parse_op(value("moe")); })
            .rfind("r.yaml:1:6: op 'moe' names no kernel: expected moe.auto or moe.<kernel>\n"
                   "  note: kernels of moe: auto, ",
                   0) == 0);
}

TEST_CASE("values: formats") {
  CHECK_FALSE(parse_format(value("keep")));
  CHECK(parse_format(value("int4/64")) == quant::Format::int4_64);
  CHECK(error_of([] {
          parse_format(value("int4/46"));
        }).rfind("r.yaml:1:6: unknown format 'int4/46'\n  note: did you mean 'int4/64'", 0) == 0);
}

TEST_CASE("values: NUMA policies") {
  CHECK(parse_numa(value("replicate")) == NumaPolicy{NumaKind::replicate});
  CHECK(parse_numa(value("shard")) == NumaPolicy{NumaKind::shard});
  CHECK(parse_numa(value("interleave")) == NumaPolicy{NumaKind::interleave});
  CHECK(parse_numa(value("'node:1'")) == NumaPolicy{NumaKind::node, 1});
  CHECK(error_of([] { parse_numa(value("replicated")); }) ==
        "r.yaml:1:6: unknown numa policy 'replicated'\n  note: did you mean 'replicate'?\n"
        "  note: valid numa policies: replicate, shard, interleave, node:N");
  CHECK(error_of([] { parse_numa(value("'node:x'")); }).find("unknown numa policy 'node:x'") !=
        std::string::npos);
}

TEST_CASE("sizes, levels, classes, patterns") {
  CHECK(parse_size(value("2GiB"), "ram") == uint64_t{2} << 30);
  CHECK(error_of([] { parse_size(value("lots"), "ram"); }) ==
        "r.yaml:1:6: ram: expected a size such as 382GiB, found 'lots'");
  for (const char* bad : {"14", "0GiB"})
    CHECK(error_of([&] { parse_size(value(bad), "vram"); }) ==
          "r.yaml:1:6: vram: expected a size such as 382GiB, found '" + std::string(bad) + "'");
  CHECK(parse_isa(value("amx_int8")) == hw::Isa::amx_int8);
  CHECK(error_of([] {
          parse_isa(value("amx_int"));
        }).rfind("r.yaml:1:6: unknown isa 'amx_int'\n  note: did you mean 'amx_int8'", 0) == 0);
  CHECK(parse_class(value("moe.experts")) == "moe.experts");
  CHECK(error_of([] {
          parse_class(value("moe.expert"));
        }).rfind("r.yaml:1:6: unknown class 'moe.expert'\n  note: did you mean 'moe.experts'", 0) ==
        0);
  CHECK(parse_pattern(value("'\\.self_attn'")).regex->search("model.layers.0.self_attn.q_proj"));
  CHECK(error_of([] {
          parse_pattern(value("'(a'"));
        }).rfind("r.yaml:1:6: regular expression '(a' does not compile: ", 0) == 0);
  CHECK(error_of([] { parse_pattern(value("''")); }) ==
        "r.yaml:1:6: name: expected a pattern, found an empty text\n"
        "  note: name: '.*' matches every module");
  CHECK(error_of([] { parse_spread(value("experts")); }) ==
        "r.yaml:1:6: spread: expected 'layers', found 'experts'");
}

TEST_CASE("experts a token") {
  CHECK(parse_experts_per_token(value("6")).everywhere->value == 6);
  const auto mixed = parse_experts_per_token(value("{default: 8, layers: {3-20: 6, '30,32': 4}}"));
  CHECK(mixed.everywhere->value == 8);
  REQUIRE(mixed.layers.size() == 3);
  CHECK(mixed.layers[0].first.value == LayerRange{3, 20});
  CHECK(mixed.layers[2].first.value == LayerRange{32, 32});
  CHECK(mixed.layers[2].second == 4);
  CHECK(error_of([] { parse_experts_per_token(value("0")); }) ==
        "r.yaml:1:6: experts_per_token: expected at least 1 expert, found '0'");
  CHECK(error_of([] { parse_experts_per_token(value("many")); }) ==
        "r.yaml:1:6: experts_per_token: expected a whole number, found 'many'");
  CHECK(error_of([] { parse_experts_per_token(value("[6]")); }) ==
        "r.yaml:1:6: experts_per_token: expected a number or {default: 8, layers: {3-20: 6}}, "
        "found a list");
  CHECK(error_of([] { parse_experts_per_token(value("{layers: {3-20: 6, 20-25: 4}}")); }) ==
        "r.yaml:1:25: layers 20-25 overlap layers 3-20, which have a number already");
  CHECK(error_of([] { parse_experts_per_token(value("{defalt: 6}")); }) ==
        "r.yaml:1:7: unknown key 'defalt' in experts_per_token\n  note: did you mean 'default'?\n"
        "  note: valid keys: default, layers");
}

TEST_CASE("experts that stay: how many, which, where") {
  const auto experts = parse_experts(value("{resident: 16, on: 'cuda:1', by: p.yaml}"));
  CHECK(experts.count == 16);
  CHECK_FALSE(experts.vram);
  CHECK(experts.on == std::vector<std::string>{"cuda:1"});
  CHECK(experts.profile->value == "p.yaml");
  CHECK_FALSE(experts.keep_ram);
  const auto sized = parse_experts(value("{vram: 20GiB, on: 'cuda:0', keep_ram: yes}"));
  CHECK(sized.vram == uint64_t{20} << 30);
  CHECK_FALSE(sized.count);
  CHECK(sized.keep_ram);
  CHECK(parse_experts(value("{list: [4, 2], on: 'cuda:0'}")).listed->value ==
        std::vector<int>{4, 2});
  const auto error = [](const std::string& text) {
    return error_of([&] { parse_experts(value(text)); });
  };
  CHECK(error("{resident: 0, on: 'cuda:0'}") ==
        "r.yaml:1:17: resident: expected at least 1 expert, found '0'");
  CHECK(error("{on: 'cuda:0'}") ==
        "r.yaml:1:6: experts: expected how many: resident: N of each layer, vram: SIZE or a "
        "list");
  CHECK(error("{resident: 1, vram: 1GiB, on: 'cuda:0'}") ==
        "r.yaml:1:6: experts: resident and vram both say how many; give one of them");
  CHECK(error("{by: p, list: [1], on: 'cuda:0'}") ==
        "r.yaml:1:6: experts: by and list both say which; give one of them");
  CHECK(error("{residnt: 1}") ==
        "r.yaml:1:7: unknown key 'residnt' in experts\n  note: did you mean 'resident'?\n"
        "  note: valid keys: resident, vram, on, by, list, keep_ram");
}

TEST_CASE("values print on one line as they were written") {
  CHECK(flow_text(value("{device: [cpu, cuda:0], name: '.*', empty: }")) ==
        "{device: [cpu, cuda:0], name: '.*', empty: }");
}
