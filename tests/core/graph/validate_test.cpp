// Validation: a good model passes, every way to break one is found.
#include <functional>
#include <string>

#include "catch.hpp"
#include "tiny.hpp"

using namespace ktx::graph;
using test::error_of;

namespace {

Node& node_of(Model& model, Op op) {
  for (Node& node : model.graph.nodes) {
    if (node.op == op) return node;
  }
  throw std::logic_error("no such node");
}

Module& module_of(Model& model, const std::string& path) {
  for (Module& module : model.modules) {
    if (module.path == path) return module;
  }
  throw std::logic_error("no such module");
}

std::string broken(const std::function<void(Model&)>& damage) {
  Model model = test::tiny_model();
  damage(model);
  return error_of([&] { validate(model); });
}

}  // namespace

TEST_CASE("a model with every op is valid") {
  for (int layers : {1, 3}) CHECK(error_of([&] { validate(test::tiny_model(layers)); }) == "");
}

TEST_CASE("a module is run once or is marked unused") {
  CHECK(broken([](Model& m) { m.modules.push_back(test::module("more", "linear", {})); }) ==
        "bug: more: graph: module is run 0 times");
  CHECK(broken([](Model& m) { m.modules.push_back({.path = "mtp", .classes = {"mtp"}}); }) ==
        "bug: mtp: graph: module is neither run nor marked unused");
  CHECK(broken([](Model& m) {
          m.modules.push_back({.path = "mtp", .classes = {"mtp"}, .unused = "not run"});
        }) == "");
  CHECK(broken([](Model& m) { m.modules[0].unused = "but it is run"; }) ==
        "bug: embed: graph: module is neither run nor marked unused");
  CHECK(broken([](Model& m) { m.modules[1].path = "embed"; }) ==
        "bug: embed: graph: two modules of that path");
  CHECK(broken([](Model& m) { m.modules[0].classes.clear(); }) ==
        "bug: embed: graph: module has no class");
  CHECK(broken([](Model& m) { m.modules[0].op = "linear"; }) ==
        "bug: embed: graph: module is of another op");
}

TEST_CASE("the pieces of a weight fill it") {
  const auto damage = [](auto change) {
    return broken([&](Model& m) { change(*const_cast<Weight*>(m.modules[0].find("weight"))); });
  };
  CHECK(damage([](Weight& w) { w.pieces.clear(); }) ==
        "bug: embed: graph: the pieces of 'weight' don't add up to its rows");
  CHECK(damage([](Weight& w) { w.pieces[0].rows = 0; }) ==
        "bug: embed: graph: a piece of 'weight' is empty");
  CHECK(damage([](Weight& w) { w.cols = 0; }) == "bug: embed: graph: weight 'weight' is empty");
  // A transposed weight's pieces count its columns.
  CHECK(broken([](Model& m) {
          Weight& k = module_of(m, "model.layers.0.mla.kv_b").weights[0];
          k.transposed = true;
          k.pieces[0].rows = k.count * k.cols;
        }) == "");
}

TEST_CASE("values are made before they are read, and once") {
  CHECK(broken([](Model& m) { std::swap(m.graph.nodes[0], m.graph.nodes[1]); }) ==
        "bug: model.layers.0.mla.q_proj: graph: an input is read before it is made");
  CHECK(broken([](Model& m) { m.graph.nodes[1].output = m.graph.nodes[0].output; }) ==
        "bug: model.layers.0.mla.q_proj: graph: output is made twice");
  CHECK(broken([](Model& m) { m.graph.nodes[1].inputs[0] = 1000; }) ==
        "bug: model.layers.0.mla.q_proj: graph: an input is read before it is made");
  CHECK(broken([](Model& m) { m.graph.logits = -1; }) == "bug: graph: graph: logits are not made");
  CHECK(broken([](Model& m) { m.graph.logits = 0; }) ==
        "bug: graph: graph: logits are not as wide as the vocabulary");
}

TEST_CASE("views stay within their values") {
  const auto damage = [](auto change) {
    return broken([&](Model& m) {
      for (Value& v : m.graph.values) {
        if (v.base >= 0) return change(v);
      }
    });
  };
  CHECK(test::part_of(damage([](Value& v) { v.offset = 3; }), "view beyond its value") ==
        "view beyond its value");
  CHECK(test::part_of(damage([](Value& v) { v.base = 5000; }), "view of no owning value") ==
        "view of no owning value");
  CHECK(test::part_of(damage([](Value& v) { v.width = 0; }), "value is empty") == "value is empty");
}

TEST_CASE("inputs, parameters and widths fit the op") {
  CHECK(broken([](Model& m) { node_of(m, Op::add).inputs.pop_back(); }) ==
        "bug: add: graph: wrong number of inputs");
  CHECK(broken([](Model& m) { node_of(m, Op::add).params = NormParams{}; }) ==
        "bug: add: graph: parameters of another op");
  CHECK(broken([](Model& m) { node_of(m, Op::add).module = 0; }) ==
        "bug: add: graph: module missing or not expected");
  CHECK(broken([](Model& m) {
          m.graph.values[static_cast<size_t>(node_of(m, Op::add).output)].width = 9;
        }) == "bug: add: graph: widths differ");
  CHECK(test::part_of(
            broken([](Model& m) { std::get<NormParams>(node_of(m, Op::rms_norm).params).eps = 0; }),
            "eps must be positive") == "eps must be positive");
  CHECK(test::part_of(broken([](Model& m) {
                        std::swap(node_of(m, Op::moe).inputs[0], node_of(m, Op::moe).inputs[1]);
                      }),
                      "input is a routing") == "input is a routing");
  CHECK(test::part_of(broken([](Model& m) { node_of(m, Op::moe).inputs[1] = 0; }),
                      "input is no routing") == "input is no routing");
}

TEST_CASE("attention: heads, weights and caches") {
  const auto mla = [](auto change) {
    return broken([&](Model& m) { change(std::get<MlaParams>(node_of(m, Op::mla).params)); });
  };
  CHECK(test::part_of(mla([](MlaParams& p) { p.heads = 3; }), "widths of attention") ==
        "widths of attention");
  CHECK(test::part_of(mla([](MlaParams& p) { p.rotary.frequency.clear(); }), "rotary dimensions") ==
        "rotary dimensions");
  CHECK(test::part_of(mla([](MlaParams& p) { p.scale = 0; }), "scale must be positive") ==
        "scale must be positive");
  CHECK(test::part_of(mla([](MlaParams& p) { p.cache = 2; }), "no such cache") == "no such cache");
  CHECK(test::part_of(
            broken([](Model& m) { module_of(m, "model.layers.0.mla.kv_b").weights[1].role = "v"; }),
            "weight 'v_b' is missing") == "weight 'v_b' is missing");
  CHECK(test::part_of(broken([](Model& m) { m.info.caches[0].scaled = 8; }), "another width") ==
        "another width");
  CHECK(test::part_of(broken([](Model& m) { m.info.caches.push_back({.scaled = 8}); }),
                      "no node uses cache 2") == "no node uses cache 2");
  const auto gqa = [](auto change) {
    return broken([&](Model& m) { change(std::get<GqaParams>(node_of(m, Op::gqa).params)); });
  };
  CHECK(test::part_of(gqa([](GqaParams& p) { p.kv_heads = 3; }), "multiple of the key heads") ==
        "multiple of the key heads");
  CHECK(test::part_of(gqa([](GqaParams& p) { p.window = -1; }), "window out of range") ==
        "window out of range");
  CHECK(test::part_of(gqa([](GqaParams& p) { p.cache = 0; }), "cache is used twice") ==
        "cache is used twice");
  CHECK(test::part_of(gqa([](GqaParams& p) { p.rotary = test::rope(6); }), "rotary dimensions") ==
        "rotary dimensions");
}

TEST_CASE("routers and experts") {
  const auto router = [](auto change) {
    return broken([&](Model& m) { change(std::get<RouterParams>(node_of(m, Op::router).params)); });
  };
  CHECK(test::part_of(router([](RouterParams& p) { p.groups = 3; }), "experts don't fill groups") ==
        "experts don't fill groups");
  CHECK(test::part_of(router([](RouterParams& p) { p.top_groups = 3; }), "groups chosen") ==
        "groups chosen");
  const std::string many = "more than 1024 groups or experts chosen";
  for (int RouterParams::*chosen : {&RouterParams::top_k, &RouterParams::groups}) {
    const auto with = [&](int count) {
      return router([&](RouterParams& p) {
        p.experts = 4 * max_selected + 4;
        p.groups = p.top_groups = 1;
        p.*chosen = count;
        if (chosen == &RouterParams::groups) p.experts = 4 * count;
      });
    };
    CHECK(test::part_of(with(max_selected + 1), many) == many);
    CHECK(with(max_selected).find(many) == std::string::npos);
  }
  CHECK(test::part_of(router([](RouterParams& p) { p.top_k = 3; }), "experts chosen") ==
        "experts chosen");
  CHECK(test::part_of(router([](RouterParams& p) { p.top_k = 1; }), "routing has another width") ==
        "routing has another width");
  CHECK(test::part_of(router([](RouterParams& p) {
                        p.groups = 4;
                        p.top_groups = 2;
                        p.group_by_top2 = true;
                      }),
                      "groups of one expert") == "groups of one expert");
  CHECK(test::part_of(
            broken([](Model& m) { module_of(m, "model.layers.0.mlp.gate").weights[1].cols = 5; }),
            "weight 'bias' has another shape") == "weight 'bias' has another shape");
  CHECK(test::part_of(
            broken([](Model& m) { std::get<MoeParams>(node_of(m, Op::moe).params).top_k = 1; }),
            "widths of the experts") == "widths of the experts");
  CHECK(test::part_of(broken([](Model& m) {
                        std::get<MoeParams>(node_of(m, Op::moe).params).intermediate = 1;
                      }),
                      "weight 'gate' has another shape") == "weight 'gate' has another shape");
}
