// The printout of a graph.
#include <string>

#include "catch.hpp"
#include "tiny.hpp"

using namespace ktx::graph;

TEST_CASE("a model prints as text, every node with its module and weights") {
  Model model;
  model.info = {.architecture = "toy", .name = "Toy", .layers = 1, .hidden = 8, .vocab = 30};
  model.info.context = 64;
  GraphBuilder b(model);
  const int x =
      b.embedding(b.module(test::module("embed", "embedding", {test::weight("weight", 1, 30, 8)})));
  b.set_layer(0);
  const int attention = test::add_mla(model, b, x, "model.layers.0.");
  b.set_layer(-1);
  b.logits(b.linear(b.module(test::module("head", "linear", {test::weight("weight", 1, 30, 8)})),
                    b.last_rows(b.add(x, attention))));
  model.modules.push_back({.path = "model.layers.1",
                           .classes = {"mtp"},
                           .layer = 1,
                           .weights = {test::weight("w", 1, 2, 3)},
                           .unused = "not run"});
  CHECK(print(model) ==
        "toy 'Toy': 1 layers, hidden 8, vocabulary 30, context 64\n"
        "outside the layers\n"
        "  %0 [8] = embedding()\n"
        "      embed (linear)\n"
        "      weight f32 [30, 8] from weight.tensor\n"
        "layer 0\n"
        "  %0 [12] = linear(in)\n"
        "      model.layers.N.q_proj (linear)\n"
        "      weight f32 [12, 8] from weight.tensor\n"
        "  %1 [7] = linear(in)\n"
        "      model.layers.N.kv_a (linear)\n"
        "      weight f32 [7, 8] from weight.tensor\n"
        "  %2 [5] = rms_norm(%1[0:5]) eps 1e-06\n"
        "      model.layers.N.kv_norm (linear)\n"
        "      weight f32 [5] from weight.tensor\n"
        "  %3 [6] = mla(%0, %2, %1[5:7]) heads 2 nope 4 rope 2 v 3 kv_lora 5 scale 0.5 rotate 2 "
        "halves from 1 to 1 cache N\n"
        "      model.layers.N.kv_b (linear)\n"
        "      k_b f32 2 x [5, 4] from k_b.tensor\n"
        "      v_b f32 2 x [3, 5] from v_b.tensor\n"
        "  %4 [8] = linear(%3)\n"
        "      model.layers.N.o_proj (linear)\n"
        "      weight f32 [8, 6] from weight.tensor\n"
        "outside the layers\n"
        "  %0 [8] = add('embed', in)\n"
        "  %1 [8] = last_rows(%0)\n"
        "  %2 [30] = linear(%1)\n"
        "      head (linear)\n"
        "      weight f32 [30, 8] from weight.tensor\n"
        "not run: model.layers.1 (mtp), 6 weights: not run\n");
}

TEST_CASE("equal layers are folded, others are not") {
  Model model = test::tiny_model(3);
  // Two caches a layer: their numbers would differ from layer to layer.
  for (Node& node : model.graph.nodes) {
    if (auto* p = std::get_if<MlaParams>(&node.params)) p->cache = node.layer;
    if (auto* p = std::get_if<GqaParams>(&node.params)) p->cache = node.layer;
  }
  const std::string folded = print(model);
  CHECK(test::part_of(folded, "\nlayers 0-2\n") == "\nlayers 0-2\n");
  CHECK(test::part_of(folded, "2 of 4 in 1 of 2 groups by best sigmoid") ==
        "2 of 4 in 1 of 2 groups by best sigmoid");
  for (Node& node : model.graph.nodes) {
    if (auto* p = std::get_if<RouterParams>(&node.params); p && node.layer == 1) p->scale = 2.5f;
  }
  const std::string apart = print(model);
  for (const char* line : {"\nlayer 0\n", "\nlayer 1\n", "\nlayer 2\n"}) {
    CHECK(test::part_of(apart, line) == line);
  }
  CHECK(test::part_of(apart, "sigmoid times 2.5") == "sigmoid times 2.5");
}
