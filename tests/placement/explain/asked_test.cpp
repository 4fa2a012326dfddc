// What a rule's place asks for, as text.
#include "placement/explain/asked.hpp"

#include "catch.hpp"
#include "placement/keywords.hpp"
#include "placement/sample.hpp"

using namespace ktx::placement;

TEST_CASE("there is a row for every keyword of a place, in order") {
  CHECK(keyword_names(place_keys()) == keyword_names(place_keywords()));
}

TEST_CASE("values and where they are given") {
  const auto rules = sample::rule_list(R"(  - name: a
    match: {class: moe.experts}
    place: {device: ['cuda:0', 'cuda:1'], op: moe.avx2, format: int4/64, numa: 'node:1', spread: layers,
      experts: {vram: 2GiB, on: 'cuda:0', keep_ram: yes}}
    prefill: {stream: yes, format: keep, op: auto, device: cpu}
  - {name: b, match: {name: '.*'}, place: {experts: {resident: 16}}}
)");
  const auto texts = [](const Place& place) {
    std::vector<std::string> out;
    for (const auto& key : place_keys())
      if (!key.where(place).empty())
        out.push_back(std::string(key.name) + " = " + key.value(place) + " at " + key.where(place));
    return out;
  };
  CHECK(
      texts(rules.rules[0].place) ==
      std::vector<std::string>{"device = [cuda:0, cuda:1] at r.yaml:5:21",
                               "op = moe.avx2 at r.yaml:5:47", "format = int4/64 at r.yaml:5:65",
                               "numa = node:1 at r.yaml:5:80", "spread = layers at r.yaml:5:98",
                               "experts = up to 2.00 GiB of the GPU on cuda:0, kept in memory too "
                               "at r.yaml:6:16"});
  CHECK(texts(*rules.rules[0].prefill) ==
        std::vector<std::string>{"device = cpu at r.yaml:7:60", "op = auto at r.yaml:7:46",
                                 "format = keep at r.yaml:7:36", "stream = yes at r.yaml:7:23"});
  CHECK(texts(rules.rules[1].place) ==
        std::vector<std::string>{"experts = 16 resident at r.yaml:8:53"});
}
