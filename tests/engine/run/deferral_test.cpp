// Expert deferral: the nodes, the choice of experts, and the numbers of a model that defers.
#include "engine/run/deferral.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/base/file.hpp"
#include "ktx/session.hpp"
#include "support/gpu.hpp"
#include "support/ktx_isa.hpp"
#include "support/own_file.hpp"
#include "support/reference.hpp"

using namespace ktx;
using engine::select_experts;
using graph::MoePart;
using graph::Node;
using graph::Op;

namespace {

using Ids = std::vector<int32_t>;

Ids part_of(const Ids& ids, const std::vector<float>& weights, MoePart part, int deferred) {
  Ids out(ids.size(), 99);
  select_experts({ids, weights}, part, deferred, out);
  return out;
}

/// Layers of x -> router, moe, sum; the moe of layer l is module 2 l + 1. shared: with two linear
/// nodes beside it, both of the last module.
graph::Graph layers(int count, bool shared = false) {
  graph::Graph graph;
  const auto add = [&](Op op, int module, std::vector<int> inputs, int layer) {
    const auto output = static_cast<int>(graph.values.size());
    graph.values.push_back({.name = "v", .width = 4, .routing = op == Op::router});
    Node node{.op = op, .module = module, .inputs = std::move(inputs), .output = output};
    node.layer = layer;
    if (op == Op::moe) node.params = graph::MoeParams{};
    graph.nodes.push_back(std::move(node));
    return output;
  };
  int x = add(Op::embedding, 2 * count, {}, -1);
  for (int layer = 0; layer < count; ++layer) {
    const int chosen = add(Op::router, 2 * layer, {x}, layer);
    int y = add(Op::moe, 2 * layer + 1, {x, chosen}, layer);
    if (shared) {
      const int h = add(Op::linear, 2 * count + 1, {x}, layer);
      graph.values.back().width = 12;
      const int z = add(Op::linear, 2 * count + 1, {h}, layer);
      y = add(Op::add, -1, {y, z}, layer);
    }
    x = add(Op::add, -1, {x, y}, layer);
  }
  return graph;
}

std::string text(const graph::Graph& graph) {
  std::string out;
  for (const auto& node : graph.nodes) {
    out += std::to_string(node.layer) + ": " + std::string(graph::info(node.op).name);
    if (const auto* moe = std::get_if<graph::MoeParams>(&node.params);
        moe != nullptr && moe->part != MoePart::all)
      out += moe->part == MoePart::deferred ? " deferred" : " immediate";
    for (const int input : node.inputs) out += " " + std::to_string(input);
    out += " -> " + std::to_string(node.output) + "\n";
  }
  return out;
}

engine::ModulePlaces deferring(std::vector<int> deferred) {
  return {
      .places = {device::Place{}}, .of_module = {}, .streams = {}, .deferred = std::move(deferred)};
}

/// A model all of whose layers have experts.
struct Deferring {
  Deferring(const std::string& defer, const std::string& rest, bool deterministic = false)
      : reference(test::data_dir / "deferral/deferral.safetensors"),
        ids(reference.get<int32_t>("ids")),
        engine(make_plan(options(defer, rest, deterministic))) {}

  static PlanOptions options(const std::string& defer, const std::string& rest,
                             bool deterministic) {
    const auto file = test::own_file("deferral_test.yaml");
    base::write_file(file,
                     "ktx: 1\ncache: {format: f32}\nrules:\n"
                     "  - {name: experts, match: {class: moe.experts}, place: {device: cpu, "
                     "defer: " +
                         defer +
                         "}}\n"
                         "  - {name: rest, match: {name: '.*'}, place: {device: " +
                         rest + "}}\n");
    PlanOptions options{.model = test::data_dir / "arch/qwen3-moe",
                        .rules = file,
                        .threads = 2,
                        .cache_length = 512,
                        .sessions = 2};
    options.deterministic = deterministic;
    return options;
  }
  /// How far the logits of a token are from those of that name; of all tokens the median.
  double error(const std::string& name, bool as_decoded) {
    Session session(engine);
    std::vector<float> logits;
    session.evaluate(ids,
                     [&](int64_t, int64_t rows, const float* numbers) {
                       logits.insert(logits.end(), numbers, numbers + rows * engine.vocab_size());
                     },
                     {.as_decoded = as_decoded});
    return test::median_error(logits, of_file(name), static_cast<size_t>(engine.vocab_size()));
  }
  std::vector<float> of_file(const std::string& name) const {
    if (name != "transformers") return reference.get<float>(name);
    return test::Reference(test::data_dir / "arch/qwen3-moe/reference.safetensors")
        .get<float>("0.logits");
  }

  test::Reference reference;
  std::vector<int32_t> ids;
  Engine engine;
};

}  // namespace

TEST_CASE("the experts of least weight are deferred, of equal ones the last") {
  const Ids ids{7, 3, 9, 1};
  const std::vector<float> weights{0.2f, 0.4f, 0.1f, 0.3f};
  CHECK(part_of(ids, weights, MoePart::immediate, 1) == Ids{7, 3, -1, 1});
  CHECK(part_of(ids, weights, MoePart::deferred, 1) == Ids{-1, -1, 9, -1});
  CHECK(part_of(ids, weights, MoePart::deferred, 2) == Ids{7, -1, 9, -1});
  CHECK(part_of(ids, {1, 1, 1, 1}, MoePart::deferred, 2) == Ids{-1, -1, 9, 1});
  CHECK(part_of(ids, weights, MoePart::immediate, 0) == ids);
  CHECK(part_of(ids, weights, MoePart::deferred, 0) == Ids{-1, -1, -1, -1});
}

TEST_CASE("columns without an expert do not count, and one expert is never deferred") {
  const Ids ids{-1, 3, -1, 1};
  const std::vector<float> weights{9, 0.4f, 0, 0.3f};
  CHECK(part_of(ids, weights, MoePart::immediate, 1) == Ids{-1, 3, -1, -1});
  CHECK(part_of(ids, weights, MoePart::deferred, 1) == Ids{-1, -1, -1, 1});
  CHECK(part_of(ids, weights, MoePart::immediate, 3) == Ids{-1, 3, -1, -1});
  CHECK(part_of({-1, -1}, {1, 1}, MoePart::deferred, 1) == Ids{-1, -1});
}

TEST_CASE("deferred experts stand before the next layer's, which they are added to") {
  // Values: x 0; a layer's routing, experts and sum 1 2 3, 4 5 6, 7 8 9.
  CHECK(text(engine::defer_experts(layers(3), deferring({0, 2, 0, 2, 0, 2, 0}))) ==
        "-1: embedding -> 0\n"
        "0: router 0 -> 1\n"
        "0: moe immediate 0 1 -> 2\n"
        "0: add 0 2 -> 3\n"
        "1: router 3 -> 4\n"
        "1: moe deferred 0 1 -> 10\n"
        "1: moe immediate 3 4 -> 11\n"
        "1: add 10 11 -> 5\n"
        "1: add 3 5 -> 6\n"
        "2: router 6 -> 7\n"
        "2: moe deferred 3 4 -> 12\n"
        "2: moe 6 7 -> 13\n"
        "2: add 12 13 -> 8\n"
        "2: add 6 8 -> 9\n");
}

TEST_CASE("layers that defer nothing take what was deferred before them") {
  CHECK(text(engine::defer_experts(layers(3), deferring({0, 1, 0, 0, 0, 1, 0}))) ==
        "-1: embedding -> 0\n"
        "0: router 0 -> 1\n"
        "0: moe immediate 0 1 -> 2\n"
        "0: add 0 2 -> 3\n"
        "1: router 3 -> 4\n"
        "1: moe deferred 0 1 -> 10\n"
        "1: moe 3 4 -> 11\n"
        "1: add 10 11 -> 5\n"
        "1: add 3 5 -> 6\n"
        "2: router 6 -> 7\n"
        "2: moe 6 7 -> 8\n"
        "2: add 6 8 -> 9\n");
}

TEST_CASE("deferred experts are written beside the result that a GPU may still fetch") {
  const bool shared = GENERATE(false, true);
  auto places = deferring({0, 2, 0, 2, 0, 2, 0, 0});
  places.places.push_back({device::DeviceKind::cuda, 0});
  places.of_module = {{1}, {0}, {1}, {0}, {1}, {0}, {1}, {0}};  // routers and embedding on the GPU
  constexpr int64_t rows = 8;
  const auto lowered = engine::lower(layers(3, shared), places);
  const auto layout = graph::layout_values(lowered, rows, 1);
  const auto begin = [&](int v) { return layout.offset[static_cast<size_t>(v)]; };
  const auto end = [&](int v) {
    return begin(v) + rows * layout.stride[static_cast<size_t>(v)] * int64_t{sizeof(float)};
  };
  int count = 0, fetched = -1;  // the value that a GPU was given last
  for (const Node& node : lowered.nodes) {
    if (node.op == Op::copy && node.on_gpu) fetched = node.inputs[0];
    const auto* moe = std::get_if<graph::MoeParams>(&node.params);
    if (moe == nullptr || moe->part != MoePart::deferred) continue;
    ++count;
    REQUIRE(fetched >= 0);
    CHECK((end(node.output) <= begin(fetched) || end(fetched) <= begin(node.output)));
  }
  CHECK(count == 2);
}

TEST_CASE("decoded tokens have the logits of a model that defers, prompts those of the model") {
  const test::KtxIsa exact("scalar");
  for (const bool deterministic : {false, true})
    for (const char* defer : {"1", "2"}) {
      INFO("defer: " << defer << (deterministic ? ", deterministic" : ""));
      Deferring model(defer, "cpu", deterministic);
      CHECK(model.error(std::string("defer ") + defer, true) < 1e-5);
      CHECK(model.error("transformers", false) < 1e-5);
    }
  Deferring none("0", "cpu");
  CHECK(none.error("transformers", true) < 1e-5);
}

TEST_CASE("cuda: experts are deferred while a GPU runs the next layer") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  constexpr double tolerance = 2e-2;  // as of this model without deferral, in bf16
  for (const char* defer : {"1", "2"}) {
    INFO("defer: " << defer);
    const test::KtxIsa exact("scalar");
    Deferring model(defer, "cuda:0");
    CHECK(model.error(std::string("defer ") + defer, true) < tolerance);
    CHECK(model.error("transformers", false) < tolerance);
  }
  Deferring residents("2, experts: {resident: 3, on: 'cuda:0'}", "cuda:0");
  CHECK(residents.error("defer 2, resident 3", true) < tolerance);
}
