// Finding tensors and checking their shapes.
#include "model/weights.hpp"

#include <cstdint>

#include "catch.hpp"
#include "fake.hpp"

using namespace ktx;
using namespace ktx::model;
using test::error_of;
using test::Fake;

TEST_CASE("a matrix and a vector") {
  Fake f;
  f.add("a.weight", {4, 8}, quant::Format::bf16);
  f.add("v", {1, 8});
  const Source source = f.source();
  const Tensors t(source);
  const graph::Weight w = t.matrix("weight", {"b.weight", "a.weight"}, 4, 8);
  CHECK(w.source == quant::Format::bf16);
  CHECK(w.rows == 4);
  REQUIRE(w.pieces.size() == 1);
  CHECK(w.pieces[0].tensor == "a.weight");
  CHECK(w.pieces[0].rows == 4);
  CHECK(t.vector("bias", {"v"}, 8).is_vector());
}

TEST_CASE("a wrong shape names tensor, file, expected and found") {
  Fake f;
  f.add("a.weight", {4, 8});
  f.add("v", {7});
  f.add("e", {2, 4, 9});
  const Source source = f.source();
  const Tensors t(source);
  CHECK(error_of([&] { t.matrix("weight", {"a.weight"}, 8, 4); }) ==
        "config.json: tensor 'a.weight' must have the shape [8, 4] by the configuration, found "
        "[4, 8]");
  CHECK(error_of([&] { t.vector("bias", {"v"}, 8); }) ==
        "config.json: tensor 'v' must have the shape [8] by the configuration, found [7]");
  CHECK(error_of([&] { t.stack("gate", {"e"}, 2, 4, 8); }) ==
        "config.json: tensor 'e' must have the shape [2, 4, 8] by the configuration, found "
        "[2, 4, 9]");
}

TEST_CASE("a missing tensor comes with the nearest names") {
  Fake f;
  f.add("model.norm.weigth", {4});
  f.add("model.norms.weight", {4});
  Source source = f.source();
  CHECK(error_of([&] {
          Tensors(source).need({"model.norm.weight", "norm.weight"});
        }) ==
        "config.json: tensor 'model.norm.weight' is not in the checkpoint\n"
        "  note: also looked for: norm.weight\n"
        "  note: nearest tensors: model.norm.weigth, model.norms.weight");
  source.why_missing = [](std::string_view) { return "has the unknown type 99"; };
  source.listed = {};
  CHECK(error_of([&] { Tensors(source).need({"model.norm.weight"}); }) ==
        "config.json: tensor 'model.norm.weight' has the unknown type 99");
}

TEST_CASE("experts: stacked, both halves in one tensor, one by one") {
  Fake stacked;
  stacked.naming = Naming::gguf;
  stacked.add("blk.0.ffn_gate_exps.weight", {2, 3, 4}, quant::Format::q4_k);
  const Source a = stacked.source();
  const graph::Weight s = Tensors(a).experts("gate", 0, 2, 3, 4);
  CHECK(s.count == 2);
  REQUIRE(s.pieces.size() == 1);
  CHECK(s.pieces[0].rows == 6);

  Fake halves;
  halves.add("model.layers.0.mlp.experts.gate_up_proj", {2, 6, 4});
  const Source b = halves.source();
  const graph::Weight up = Tensors(b).experts("up", 0, 2, 3, 4);
  REQUIRE(up.pieces.size() == 2);
  CHECK(up.pieces[0].first_row == 3);
  CHECK(up.pieces[1].first_row == 9);
  CHECK(Tensors(b).experts("gate", 0, 2, 3, 4).pieces[1].first_row == 6);

  Fake single;
  single.naming = Naming::gguf;
  single.add("blk.0.ffn_down.0.weight", {4, 3}, quant::Format::q4_k);
  single.add("blk.0.ffn_down.1.weight", {4, 3}, quant::Format::q4_k);
  const Source c = single.source();
  const graph::Weight down = Tensors(c).experts("down", 0, 2, 4, 3);
  REQUIRE(down.pieces.size() == 2);
  CHECK(down.pieces[1].tensor == "blk.0.ffn_down.1.weight");
  CHECK(error_of([&] { Tensors(c).experts("down", 0, 3, 4, 3); }) ==
        "config.json: tensor 'blk.0.ffn_down.2.weight' is not in the checkpoint\n"
        "  note: nearest tensors: blk.0.ffn_down.0.weight, blk.0.ffn_down.1.weight");
  single.at("blk.0.ffn_down.1.weight").format = quant::Format::q6_k;
  CHECK(error_of([&] { Tensors(c).experts("down", 0, 2, 4, 3); }) ==
        "config.json: tensor 'blk.0.ffn_down.1.weight' is q6_k where the first expert's is q4_k; "
        "the experts of a layer must have one format");
  CHECK(error_of([&] {
          Tensors(c).experts("up", 1, 2, 4, 3);
        }).find("tensor 'blk.1.ffn_up_exps.weight' is not in the checkpoint") == 13);
}

TEST_CASE("sizes that come from tensors, and tensors that are not run") {
  Fake f;
  f.add("x.a", {2, 3, 4});
  f.add("x.b", {5});
  f.add("y", {INT64_MAX, 2, 2});
  f.add("z", {0, 2});
  const Source source = f.source();
  const Tensors t(source);
  CHECK(t.rows_of({"x.a"}) == 3);
  CHECK_FALSE(t.rows_of({"x.b"}).has_value());
  CHECK_FALSE(t.rows_of({"none"}).has_value());
  CHECK(error_of([&] { t.rows_of({"z"}); }) ==
        "config.json: tensor 'z' must have 1 to 1048576 rows, found the shape [0, 2]");
  CHECK(error_of([&] { t.rows_of({"x.a"}, 2); }) ==
        "config.json: tensor 'x.a' must have 1 to 2 rows, found the shape [2, 3, 4]");
  const auto a = Tensors::unused("a", f.at("x.a"));
  REQUIRE(a.has_value());
  CHECK(a->role == "a");
  CHECK(a->rows == 6);
  CHECK(Tensors::unused("b", f.at("x.b"))->is_vector());
  CHECK_FALSE(Tensors::unused("y", f.at("y")).has_value());
}

TEST_CASE("numbers of a tensor") {
  Fake f;
  f.add("rope_freqs.weight", {3});
  CHECK(error_of([&] {
          const Source source = f.source();
          Tensors(source).values(f.tensors[0], 3);
        }) ==
        "config.json: the numbers of tensor 'rope_freqs.weight' are part of the configuration, but "
        "only the header can be read");
  f.values["rope_freqs.weight"] = {1, 2, 3};
  const Source source = f.source();
  CHECK(Tensors(source).values(f.tensors[0], 3) == std::vector<float>{1, 2, 3});
}

TEST_CASE("a checkpoint yet to be written is told which tensors it needs") {
  Fake f;
  f.add("stacked", {1});  // chooses a layout
  std::vector<graph::TensorMeta> declared;
  Source source = f.source();
  source.declare = [&](const std::string& name,
                       const std::vector<int64_t>& shape) -> const graph::TensorMeta& {
    return declared.emplace_back(
        graph::TensorMeta{.name = name, .format = quant::Format::q8_0, .shape = shape});
  };
  const Tensors t(source);
  CHECK(t.matrix("weight", {"a.weight", "b.weight"}, 4, 8).source == quant::Format::q8_0);
  CHECK(t.vector("bias", {"v"}, 8).is_vector());
  CHECK(t.stack("gate", {"e"}, 2, 4, 8).pieces[0].rows == 8);
  REQUIRE(declared.size() == 3);
  CHECK(declared[0].name == "a.weight");
  CHECK(declared[0].shape == std::vector<int64_t>{4, 8});
  CHECK(declared[1].shape == std::vector<int64_t>{8});
  CHECK(declared[2].shape == std::vector<int64_t>{2, 4, 8});
  CHECK(t.find({"other", "stacked"}) != nullptr);
}
