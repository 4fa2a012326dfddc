// GraphBuilder: widths are inferred, mistakes are bugs that name the module.
#include <string>

#include "catch.hpp"
#include "tiny.hpp"

using namespace ktx::graph;
using test::error_of;
using test::module;
using test::weight;

namespace {

/// A builder with one embedding of width 8.
struct Bench {
  Model model;
  GraphBuilder b{model};
  int x = b.embedding(b.module(module("embed", "embedding", {weight("weight", 1, 30, 8)})));

  int64_t width(int value) const { return model.graph.values[static_cast<size_t>(value)].width; }
};

}  // namespace

TEST_CASE("widths follow from the weights") {
  Bench t;
  CHECK(t.width(t.x) == 8);
  const int y = t.b.linear(t.b.module(module("m", "linear", {weight("weight", 1, 5, 8)})), t.x);
  CHECK(t.width(y) == 5);
  const Model model = test::tiny_model();
  const Value& logits = model.graph.values[static_cast<size_t>(model.graph.logits)];
  CHECK(logits.width == 30);
  CHECK(logits.name == "head");
}

TEST_CASE("a slice of a slice is a view of the value that owns the numbers") {
  Bench t;
  const int outer = t.b.slice(t.x, 2, 5), inner = t.b.slice(outer, 1, 3);
  const Value& v = t.model.graph.values[static_cast<size_t>(inner)];
  CHECK(v.base == t.x);
  CHECK(v.offset == 3);
  CHECK(v.width == 3);
  CHECK(error_of([&] { t.b.slice(outer, 3, 3); }) ==
        "bug: embed: graph: columns 3 to 6 are not within its 5");
}

TEST_CASE("nodes carry the layer that was set") {
  const Model model = test::tiny_model(2);
  CHECK(model.graph.nodes.front().layer == -1);
  CHECK(model.graph.nodes[1].layer == 0);
  CHECK(model.graph.nodes.back().layer == -1);
}

TEST_CASE("shape mistakes are bugs naming the module") {
  Bench t;
  const auto linear = [&] {
    t.b.linear(t.b.module(module("model.q", "linear", {weight("weight", 1, 5, 9)})), t.x);
  };
  CHECK(error_of(linear) == "bug: model.q: graph: input must be 9 wide, is 8");
  const auto norm = [&] {
    t.b.rms_norm(t.b.module(module("model.n", "rms_norm", {weight("weight", 1, 1, 3)})), t.x,
                 1e-6f);
  };
  CHECK(error_of(norm) == "bug: model.n: graph: input is 8 wide, no multiple of 3");
  const auto no_weight = [&] { t.b.embedding(t.b.module(module("model.e", "embedding", {}))); };
  CHECK(error_of(no_weight) == "bug: model.e: graph: weight 'weight' is missing");
  CHECK(error_of([&] { t.b.linear(77, t.x); }) == "bug: linear: graph: no module number 77");
  CHECK(error_of([&] { t.b.add(t.x, 99); }) == "bug: add: graph: no value number 99");
  CHECK(error_of([&] { t.b.silu_mul(t.x, t.b.slice(t.x, 0, 4)); }) ==
        "bug: silu_mul: graph: up must be 8 wide, is 4");
  CHECK(error_of([&] { t.b.scale_sigmoid(t.x, t.x); }) ==
        "bug: scale_sigmoid: graph: scale must be 1 wide, is 8");
  const auto mla = [&] {
    MlaParams p{.heads = 1, .nope = 6, .rope = 2, .v = 4, .kv_lora = 8};
    t.b.mla(t.b.module(module("model.kv_b", "mla", {})), t.x, t.x, t.b.slice(t.x, 0, 4), p);
  };
  CHECK(error_of(mla) == "bug: model.kv_b: graph: k_rope must be 2 wide, is 4");
}
