// Reading rules files: the schema, and an exact message for each mistake.
#include "placement/rules.hpp"

#include <filesystem>
#include <fstream>

#include "catch.hpp"
#include "placement/keywords.hpp"
#include "sample.hpp"
#include "support/own_file.hpp"

using namespace ktx;
using namespace ktx::placement;
using sample::error_of;

namespace {

std::string error_in(const std::string& text) {
  return error_of([&] { sample::rules(text); });
}
std::string error_in_list(const std::string& lines) {
  return error_in("ktx: 1\nrules:\n" + lines);
}

}  // namespace

TEST_CASE("the whole schema") {
  const auto rules = sample::rules(R"(ktx: 1
machine: {ram: 382GiB, vram: 14GiB, isa: amx_int8}
model:
  experts_per_token: 6
rules:
  - name: routed experts
    match: {class: moe.experts, layers: 3-60}
    place: {device: cpu, op: moe.auto, format: int4/64, numa: replicate}
    decode: {op: moe.ref}
    prefill: {op: moe.auto}
  - name: spread
    match: {name: '\.self_attn'}
    place: {device: ['cuda:0', 'cuda:1'], spread: layers}
  - name: rest
    match: {name: '.*'}
    place: {device: 'cuda:0', experts: {resident: 16, on: 'cuda:0', list: [2, 1]}}
)");
  CHECK(rules.file == "r.yaml");
  CHECK(rules.machine.ram->value == uint64_t{382} << 30);
  CHECK(rules.machine.vram->value == uint64_t{14} << 30);
  CHECK(rules.machine.isa->value == hw::Isa::amx_int8);
  CHECK(rules.model.experts_per_token.everywhere->value == 6);
  REQUIRE(rules.rules.size() == 3);
  const auto& first = rules.rules[0];
  CHECK(first.name == "routed experts");
  CHECK(file_and_line(first.where) == "r.yaml:6");
  CHECK(first.match.class_name->value == "moe.experts");
  CHECK(first.match.layers->value == std::vector<LayerRange>{{3, 60}});
  CHECK(first.place.devices->value.front() == "cpu");
  CHECK(first.place.op->op == graph::Op::moe);
  CHECK(first.place.format->value == quant::Format::int4_64);
  CHECK(first.place.numa->value == NumaPolicy{NumaKind::replicate});
  CHECK(first.decode->op->kernel == "ref");
  CHECK(first.prefill->op->kernel == "auto");
  CHECK(first.text ==
        "match: {class: moe.experts, layers: 3-60}, place: {device: cpu, op: moe.auto, format: "
        "int4/64, numa: replicate}, decode: {op: moe.ref}, prefill: {op: moe.auto}");
  CHECK(rules.rules[1].place.spread->value == "layers");
  CHECK(rules.rules[2].place.experts->value.count == 16);
}

TEST_CASE("mistakes in the file as a whole") {
  CHECK(error_in("- a\n") ==
        "r.yaml:1:1: a rules file is a map with the keys ktx, machine, model, "
        "context, sessions, cache, threads, decode_threads, prefill_chunk, weights_cache, "
        "tokenizer, deterministic, "
        "rules; found a list\n  note: a rules file begins with 'ktx: 1'; its list of rules is the "
        "value "
        "of 'rules:'");
  CHECK(error_in("rules: []\n") ==
        "r.yaml:1:1: the rules file does not give its schema version\n"
        "  note: begin it with the line 'ktx: 1'");
  CHECK(error_in("ktx: 2\nrules: []\n") ==
        "r.yaml:1:6: ktx: this version reads rules files of schema 1, found '2'");
  CHECK(error_in("ktx: 1\n") ==
        "r.yaml:1:1: the rules file has no rules\n  note: a rule for everything: {name: rest, "
        "match: {name: '.*'}, place: {device: cpu}}");
  CHECK(
      error_in("ktx: 1\nrule: []\n") ==
      "r.yaml:2:1: unknown key 'rule' in the rules file\n  note: did you mean 'rules'?\n"
      "  note: valid keys: ktx, machine, model, context, sessions, cache, threads, decode_threads, "
      "prefill_chunk, weights_cache, tokenizer, deterministic, rules");
  CHECK(error_in("ktx: 1\nmachine: {rams: 1GiB}\n") ==
        "r.yaml:2:11: unknown key 'rams' in machine\n  note: did you mean 'ram'?\n"
        "  note: valid keys: ram, vram, isa");
  CHECK(error_in("ktx: 1\nmodel: 6\n") ==
        "r.yaml:2:8: model: expected a map, found '6'\n  note: its keys: path, experts_per_token");
}

TEST_CASE("mistakes in a rule") {
  CHECK(error_in_list("  - match: {name: a}\n    place: {}\n") ==
        "r.yaml:3:5: rule 1 has no name\n"
        "  note: give it one, e.g. name: attention; the plan and messages use it");
  CHECK(error_in_list("  - {name: a, place: {device: cpu}}\n") ==
        "r.yaml:3:5: rule 'a' has no match\n  note: match: {name: '.*'} matches every module");
  CHECK(error_in_list("  - {name: a, match: {}, place: {device: cpu}}\n") ==
        "r.yaml:3:22: match of rule 'a' is empty\n"
        "  note: give at least one of: name, class, layers");
  CHECK(error_in_list("  - {name: a, match: {name: x}}\n") ==
        "r.yaml:3:5: rule 'a' has no place\n  note: place: {device: cpu, format: keep} runs "
        "modules on the CPU as they are stored");
  CHECK(error_in_list("  - {name: a, match: {nmae: x}, place: {}}\n") ==
        "r.yaml:3:23: unknown key 'nmae' in match\n  note: did you mean 'name'?\n"
        "  note: valid keys: name, class, layers");
  CHECK(error_in_list("  - {name: a, match: {name: x}, place: {devise: cpu}}\n") ==
        "r.yaml:3:41: unknown key 'devise' in place\n  note: did you mean 'device'?\n"
        "  note: valid keys: device, op, format, numa, spread, stream, experts, defer");
  CHECK(error_in_list("  - {name: a, match: {name: x}, place: {}, decod: {}}\n") ==
        "r.yaml:3:44: unknown key 'decod' in rule 1\n  note: did you mean 'decode'?\n"
        "  note: valid keys: name, match, place, decode, prefill");
  CHECK(error_in_list("  - {name: a, match: {name: x}, place: {}}\n"
                      "  - {name: a, match: {name: y}, place: {}}\n") ==
        "r.yaml:4:5: two rules have the name 'a'\n  note: the other is at r.yaml:3");
  CHECK(error_in_list("  - {name: a, match: {class: moe.expert}, place: {}}\n")
            .rfind("r.yaml:3:30: unknown class 'moe.expert'\n  note: did you mean 'moe.experts'",
                   0) == 0);
  CHECK(error_in_list("  - {name: a, match: {name: '*'}, place: {}}\n")
            .rfind("r.yaml:3:29: regular expression '*' does not compile: ", 0) == 0);
}

TEST_CASE("a rule's name is one line without control characters") {
  const auto rules = sample::rules(
      "ktx: 1\nrules: [{name: \"a\\nb\\e[1m\", match: {name: \"\\e\"}, place: {}}]\n");
  CHECK(rules.rules.front().name == "a\\nb\\x1b[1m");
  CHECK(rules.rules.front().text.find('\x1b') == std::string::npos);
}

TEST_CASE("more rules than a model has modules") {
  std::string lines;
  for (int i = 0; i < 70'000; ++i) lines += "  - {name: r, match: {name: a}, place: {}}\n";
  CHECK(error_in_list(lines) == "r.yaml:3:3: rules: expected at most 2048, found 70000");
}

TEST_CASE("a profile of experts lies beside the rules file") {
  const auto rules = test::own_file("rules_test.yaml"), profile = test::own_file("profile.yaml");
  const auto name = profile.filename().string();
  std::ofstream(rules) << "ktx: 1\nrules:\n  - {name: a, match: {class: moe.experts}, place: "
                          "{experts: {resident: 1, on: 'cuda:0', by: "
                       << name << "}}}\n";
  CHECK(error_of([&] { read_rules(rules); }) ==
        rules.string() + ":3:93: by: there is no profile of experts " + profile.string() +
            "\n  note: without by: the first experts by number stay");
  std::ofstream(profile) << "layers: {3: [7, 1]}\n";
  CHECK(read_rules(rules).rules[0].place.experts->value.order.at(3) == std::vector<int>{7, 1});
}

TEST_CASE("the shipped rules files and the template are valid") {
  const std::filesystem::path source = KTX_SOURCE_DIR;
  size_t files = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(source / "optimize_rules")) {
    INFO(entry.path());
    if (entry.path().extension() != ".yaml") continue;
    CHECK_FALSE(read_rules(entry.path()).rules.empty());
    ++files;
  }
  CHECK(files >= 3);
  CHECK(read_rules(source / "examples/my-box.yaml").rules.size() >= 2);
}
