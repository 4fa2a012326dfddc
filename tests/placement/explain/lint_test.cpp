// Every check finds what it is for; the messages are golden.
// covers: lint_rules, lint_machine
#include "placement/explain/lint.hpp"

#include <algorithm>

#include "catch.hpp"
#include "placement/golden.hpp"

using namespace ktx;
using namespace ktx::placement;

namespace {

/// What is linted: by default a model of floats on a CPU, as it is stored.
struct Box {
  std::string rules = "  - {name: rest, match: {name: '.*'}, place: {device: cpu}}\n";
  sample::DeepSeek shape = {};
  hw::Machine machine = sample::machine();
  PlanOptions options = {.threads = 2, .run_memory = sample::run_memory};
};

Plan plan_of(const Box& box, const Rules& rules) {
  auto model = sample::deepseek(box.shape);
  model.info.context = 4096;
  return make_plan(rules, std::move(model), box.machine, box.options);
}

std::vector<Finding> lint_of(const Box& box) {
  const auto rules = sample::rule_list(box.rules);
  return lint(rules, plan_of(box, rules));
}

Box with(const std::string& rules) {
  Box box;
  box.rules = rules + box.rules;
  return box;
}

Box on_two_gpus(const std::string& rules) {
  return {.rules = rules +
                   "  - {name: rest, match: {name: '.*'}, place: {device: ['cuda:0', 'cuda:1'], "
                   "spread: layers}}\n",
          .shape = sample::gpu_shape(),
          .machine = sample::gpu_machine()};
}

/// A box for each check, which the check warns of.
std::vector<std::pair<std::string, Box>> boxes() {
  std::vector<std::pair<std::string, Box>> all;
  const auto add = [&](const char* check, Box box) -> Box& {
    return all.emplace_back(check, std::move(box)).second;
  };
  add("not-in-model", with("  - {name: heads, match: {class: attention.gqa}, place: {}}\n"));
  add("no-effect", with("  - {name: experts, match: {class: moe.experts}, place: {}}\n"));
  add("repeated", on_two_gpus("  - name: head\n    match: {class: head}\n"
                              "    place: {device: 'cuda:0'}\n"
                              "    prefill: {device: 'cuda:0', stream: no}\n"));
  add("layers-beyond-model",
      with("  - {name: late, match: {class: moe.experts, layers: 2-9}, place: {format: int8}}\n"));
  add("slower-kernel",
      with("  - {name: experts, match: {class: moe.experts}, place: {op: moe.ref}}\n"));
  add("coarse-head",
      with("  - {name: ends, match: {name: 'embed|head'}, place: {format: int4/64}}\n"));
  add("requantized",
      with("  - {name: experts, match: {class: moe.experts}, place: {format: int4/64}}\n"))
      .shape = sample::gpu_shape();
  add("untrained-context", {}).options.cache_length = 5000;
  add("more-experts", {}).options.experts_per_token = 9;
  add("numa-of-one-node", with("  - {name: experts, match: {class: moe.experts}, place: {numa: "
                               "shard, format: int8}}\n"));
  add("more-threads", {}).options.threads = 3;
  add("unused-gpu", {}).machine = sample::machine_with_gpus(2);
  const auto needed = plan_of({}, sample::rule_list(Box{}.rules)).devices.front().most();
  add("nearly-full", {}).machine.nodes[0].memory_bytes = needed;
  add("idle-stream", on_two_gpus("  - name: experts\n    match: {class: moe.experts}\n"
                                 "    place: {device: cpu}\n"
                                 "    prefill: {device: 'cuda:0', stream: yes}\n"))
      .machine.gpus[0]
      .copy_bandwidth = 1;
  add("idle-deferral",
      with("  - {name: experts, match: {class: moe.experts}, place: {defer: 1}}\n"));
  add("split-attention",
      on_two_gpus("  - {name: o, match: {name: 'o_proj'}, place: {device: 'cuda:0'}}\n"));
  add("alternating-layers",
      on_two_gpus("  - {name: first, match: {layers: 0}, place: {device: 'cuda:1'}}\n"));
  return all;
}

}  // namespace

TEST_CASE("deferral needs a GPU beside it, and a layer of experts behind it") {
  const auto messages_of = [](const std::string& rules) {
    std::string text;
    for (const auto& finding : lint_of(on_two_gpus(rules)))
      if (finding.check == "idle-deferral") text += finding.message;
    return text;
  };
  const std::string cpu = "  - {name: cpu, match: {class: moe.experts}, place: {device: cpu}}\n";
  const std::string all =
      "  - {name: all, match: {class: moe.experts}, place: {device: cpu, defer: 1}}\n";
  CHECK(messages_of(all).empty());
  CHECK(messages_of("  - {name: routers, match: {class: moe.router}, place: {device: cpu}}\n" +
                    all) ==
        "rule 'all' defers experts, but the router of layer 2 is on the cpu too: they run behind "
        "attention, not beside it");
  CHECK(messages_of("  - {name: end, match: {class: moe.experts, layers: 5}, place: {device: cpu, "
                    "defer: 1}}\n" +
                    cpu) ==
        "rule 'end' defers experts, but no later layer has experts on the cpu to add them to");
}

TEST_CASE("every check has a box that it warns of") {
  const auto all = boxes();
  CHECK(std::ranges::equal(all, lint_checks(), {}, &std::pair<std::string, Box>::first,
                           &LintCheck::name));
  std::string text;
  for (const auto& [check, box] : all) {
    INFO(check);
    const auto findings = lint_of(box);
    CHECK(std::ranges::count(findings, check, &Finding::check) > 0);
    for (const auto& finding : findings) text += to_string(finding) + "\n";
  }
  CHECK(text == sample::golden("lint.txt", text));
}

TEST_CASE("what is meant is no finding") {
  for (const auto& box :
       {Box{},
        with("  - {name: experts, match: {class: moe.experts, layers: 1-3}, place: "
             "{format: int8}}\n"),
        with("  - {name: head, match: {class: head}, place: {format: int8}}\n"), on_two_gpus(""),
        Box{.rules = "  - {name: all, match: {name: '.*'}, place: {device: 'cuda:1'}}\n",
        .shape = sample::gpu_shape(),
        .machine = sample::gpu_machine()}})
    for (const auto& finding : lint_of(box)) FAIL_CHECK(to_string(finding));
}

TEST_CASE("a GPU that would not help is no finding: too old, or weaker than those that are used") {
  Box box{.rules =
              "  - {name: experts, match: {class: moe.experts}, place: {device: cpu}}\n"
              "  - {name: rest, match: {name: '.*'}, place: {device: 'cuda:0'}}\n",
          .shape = sample::gpu_shape(),
          .machine = sample::gpu_machine()};
  const auto found = [&] {
    const auto findings = lint_of(box);
    return std::ranges::count(findings, "unused-gpu", &Finding::check);
  };
  CHECK(found() == 1);
  auto& unused = box.machine.gpus[1];
  unused.memory_bytes /= 2;
  CHECK(found() == 0);
  unused.memory_bytes *= 2;
  unused.capability = 75;
  CHECK(found() == 0);
}

TEST_CASE("a rule has an effect when one of its modules would be placed otherwise") {
  const auto found = [](const std::string& rules) {
    const auto findings = lint_of(with(rules));
    return std::ranges::count(findings, "no-effect", &Finding::check);
  };
  CHECK(found("  - {name: a, match: {class: moe}, place: {format: int8}}\n") == 0);
  CHECK(found("  - {name: a, match: {class: moe}, place: {format: keep}}\n") == 1);
  CHECK(found("  - {name: a, match: {class: norm}, place: {format: f32}}\n") == 1);
  // The next rule that matches counts, not the next one.
  CHECK(found("  - {name: a, match: {class: moe.experts}, place: {format: int8}}\n"
              "  - {name: b, match: {class: head}, place: {format: int4/64}}\n"
              "  - {name: c, match: {class: moe}, place: {format: int8}}\n") == 1);
}
