// Places of nodes, copies of what crosses, experts of several places, linear nodes side by side.
#include "engine/run/lowering.hpp"

#include <algorithm>
#include <string>

#include "catch.hpp"

using namespace ktx;
using graph::Node;
using graph::Op;

namespace {

/// Nodes one by one, each of a module of its own; value 0 on.
class Sketch {
 public:
  int add(Op op, std::vector<int> inputs, bool module = true, bool routing = false) {
    const auto output = static_cast<int>(graph.values.size());
    graph.values.push_back({.name = "v" + std::to_string(output), .width = 4, .routing = routing});
    graph.nodes.push_back({.op = op,
                           .module = module ? modules_++ : -1,
                           .inputs = std::move(inputs),
                           .output = output,
                           .layer = 0});
    return output;
  }
  int slice(int base) {
    graph.values.push_back({.name = "slice", .width = 2, .base = base, .offset = 1});
    return static_cast<int>(graph.values.size()) - 1;
  }
  graph::Graph graph;

 private:
  int modules_ = 0;
};

/// "linear 1 -> 2 @0", a node a line.
std::string text(const graph::Graph& graph) {
  std::string out;
  for (const auto& node : graph.nodes) {
    out += std::string(graph::info(node.op).name);
    for (const int input : node.inputs) out += " " + std::to_string(input);
    out += " -> " + std::to_string(node.output) + " @" + std::to_string(node.place) + "\n";
  }
  return out;
}

using Places = std::vector<std::vector<int>>;

/// All places are of the CPU.
engine::ModulePlaces cpus(Places of_module) {
  return {.places = std::vector<device::Place>(3),
          .of_module = std::move(of_module),
          .streams = {},
          .deferred = {}};
}
/// The CPU and a GPU.
engine::ModulePlaces hybrid(Places of_module, std::vector<bool> streams = {}) {
  return {.places = {device::Place{}, {device::DeviceKind::cuda, 0}},
          .of_module = std::move(of_module),
          .streams = std::move(streams),
          .deferred = {}};
}

std::string types(const graph::Graph& graph) {
  std::string out;
  for (const auto& node : graph.nodes)
    out +=
        graph.values[static_cast<size_t>(node.output)].type == graph::NumberType::bf16 ? 'b' : 'f';
  return out;
}

}  // namespace

TEST_CASE("on one place nothing changes but the order of linear nodes") {
  Sketch s;
  s.add(Op::embedding, {});            // 0
  s.add(Op::rms_norm, {0});            // 1
  s.add(Op::linear, {1});              // 2: q_a
  s.add(Op::rms_norm, {2});            // 3
  s.add(Op::linear, {3});              // 4: q_b
  s.add(Op::linear, {1});              // 5: kv_a
  s.add(Op::silu_mul, {4, 5}, false);  // 6
  CHECK(text(engine::lower(s.graph, {})) ==
        "embedding -> 0 @0\n"
        "rms_norm 0 -> 1 @0\n"
        "linear 1 -> 2 @0\n"
        "linear 1 -> 5 @0\n"
        "rms_norm 2 -> 3 @0\n"
        "linear 3 -> 4 @0\n"
        "silu_mul 4 5 -> 6 @0\n");
}

TEST_CASE("a value that crosses is copied once for all its readers there") {
  Sketch s;
  const int x = s.add(Op::embedding, {});            // 0, place 0
  const int a = s.add(Op::linear, {x});              // 1, place 1
  const int b = s.add(Op::linear, {x});              // 2, place 1
  const int c = s.add(Op::silu_mul, {a, b}, false);  // 3, where its first input lies
  s.add(Op::add, {x, c}, false);                     // 4, place 0
  const auto lowered = engine::lower(s.graph, cpus({{0}, {1}, {1}}));
  CHECK(text(lowered) ==
        "embedding -> 0 @0\n"
        "copy 0 -> 5 @1\n"
        "linear 5 -> 1 @1\n"
        "linear 5 -> 2 @1\n"
        "silu_mul 1 2 -> 3 @1\n"
        "copy 3 -> 6 @0\n"
        "add 0 6 -> 4 @0\n");
  CHECK(lowered.values[5].place == 1);
  CHECK(lowered.values[6].width == 4);
}

TEST_CASE("of a view only its columns are copied") {
  Sketch s;
  const int x = s.add(Op::embedding, {});  // 0
  const int part = s.slice(x);             // 1
  s.add(Op::rms_norm, {part});             // 2, place 1
  const auto lowered = engine::lower(s.graph, cpus({{0}, {1}}));
  CHECK(text(lowered) == "embedding -> 0 @0\ncopy 1 -> 3 @1\nrms_norm 3 -> 2 @1\n");
  CHECK(lowered.values[3].width == 2);
  CHECK(lowered.values[3].base == -1);
}

TEST_CASE("experts of several places are computed on each, and summed where the input lies") {
  Sketch s;
  const int x = s.add(Op::embedding, {});                 // 0
  const int chosen = s.add(Op::router, {x}, true, true);  // 1
  const int y = s.add(Op::moe, {x, chosen});              // 2, places 0, 1 and 2
  s.add(Op::add, {x, y}, false);                          // 3
  const auto lowered = engine::lower(s.graph, cpus({{0}, {0}, {0, 1, 2}}));
  CHECK(text(lowered) ==
        "embedding -> 0 @0\n"
        "router 0 -> 1 @0\n"
        "moe 0 1 -> 4 @0\n"
        "copy 0 -> 6 @1\n"
        "copy 1 -> 7 @1\n"
        "moe 6 7 -> 5 @1\n"
        "copy 5 -> 9 @0\n"
        "add 4 9 -> 8 @0\n"
        "copy 0 -> 11 @2\n"
        "copy 1 -> 12 @2\n"
        "moe 11 12 -> 10 @2\n"
        "copy 10 -> 13 @0\n"
        "add 8 13 -> 2 @0\n"
        "add 0 2 -> 3 @0\n");
  CHECK(lowered.values[7].routing);
}

TEST_CASE("commands take up to eight linear nodes of one input") {
  Sketch s;
  const int x = s.add(Op::embedding, {});
  for (int i = 0; i < 10; ++i) s.add(Op::linear, {x});
  s.add(Op::linear, {1});
  CHECK(engine::command_nodes(s.graph, 1).size() == 8);
  CHECK(engine::command_nodes(s.graph, 9).size() == 2);
  CHECK(engine::command_nodes(s.graph, 11).size() == 1);
}

namespace {

/// x, its norm, its experts with the shared one, and the sums; `up` and `last` say what reads what.
Sketch moe_layer(int up_input = 1, std::vector<int> last = {0, 8}) {
  Sketch s;
  s.add(Op::embedding, {});                // 0
  s.add(Op::rms_norm, {0});                // 1
  s.add(Op::router, {1}, true, true);      // 2
  s.add(Op::moe, {1, 2});                  // 3
  s.add(Op::linear, {1});                  // 4: gate
  s.add(Op::linear, {up_input});           // 5: up
  s.add(Op::silu_mul, {4, 5}, false);      // 6
  s.add(Op::linear, {6});                  // 7: down
  s.add(Op::add, {3, 7}, false);           // 8
  s.add(Op::add, std::move(last), false);  // 9
  return s;
}

size_t nodes_with_experts(const graph::Graph& lowered) {
  const auto moe = std::ranges::find(lowered.nodes, Op::moe, &Node::op) - lowered.nodes.begin();
  return engine::command_nodes(lowered, static_cast<size_t>(moe)).size();
}

}  // namespace

TEST_CASE("experts take the shared one and the sums with them, where all are on the CPU") {
  const auto lowered = [](Sketch s, Places places) {
    return engine::lower(s.graph, hybrid(std::move(places)));
  };
  const Places cpu(7, {0});
  CHECK(nodes_with_experts(lowered(moe_layer(), cpu)) == 7);
  CHECK(nodes_with_experts(lowered(moe_layer(1, {8, 1}), cpu)) == 7);
  CHECK(nodes_with_experts(lowered(moe_layer(1, {0, 1}), cpu)) == 6);  // of another sum
  CHECK(nodes_with_experts(lowered(moe_layer(1, {8, 8}), cpu)) == 6);
  CHECK(nodes_with_experts(lowered(moe_layer(0), cpu)) == 1);
  CHECK(nodes_with_experts(lowered(moe_layer(1, {8, 3}), cpu)) ==
        1);  // the routed sum is read twice

  auto shared_elsewhere = cpu;  // modules: embedding, norm, router, experts, gate, up, down
  shared_elsewhere[4] = shared_elsewhere[5] = shared_elsewhere[6] = {1};
  CHECK(nodes_with_experts(lowered(moe_layer(), shared_elsewhere)) == 1);
  auto both = cpu;
  both[3] = {0, 1};
  CHECK(nodes_with_experts(lowered(moe_layer(), both)) == 1);
}

TEST_CASE("a hybrid layer: the GPU has all its work before the CPU begins, products read bf16") {
  Sketch s;
  const int x = s.add(Op::embedding, {});  // 0: all modules but the experts on the GPU
  const int n = s.add(Op::rms_norm, {x});  // 1
  const int chosen = s.add(Op::router, {n}, true, true);    // 2
  const int y = s.add(Op::moe, {n, chosen});                // 3: on the CPU
  const int gate = s.add(Op::linear, {n});                  // 4
  const int up = s.add(Op::linear, {n});                    // 5
  const int silu = s.add(Op::silu_mul, {gate, up}, false);  // 6
  const int down = s.add(Op::linear, {silu});               // 7
  const int sum = s.add(Op::add, {y, down}, false);         // 8, where the experts are: on the CPU
  s.add(Op::add, {x, sum}, false);                          // 9
  const auto lowered = engine::lower(s.graph, hybrid({{1}, {1}, {1}, {0}, {1}, {1}, {1}}));
  CHECK(text(lowered) ==
        "embedding -> 0 @1\n"
        "rms_norm 0 -> 1 @1\n"
        "convert 1 -> 13 @1\n"
        "router 1 -> 2 @1\n"
        "copy 1 -> 10 @0\n"
        "copy 2 -> 11 @0\n"
        "linear 13 -> 4 @1\n"
        "linear 13 -> 5 @1\n"
        "silu_mul 4 5 -> 6 @1\n"
        "linear 6 -> 7 @1\n"
        "moe 10 11 -> 3 @0\n"
        "copy 3 -> 12 @1\n"
        "add 12 7 -> 8 @1\n"
        "add 0 8 -> 9 @1\n");
  CHECK(types(lowered) == "ffbfffbbbfffff");
  // A norm and its conversion, and copies to the same place, are a command each.
  CHECK(engine::command_nodes(lowered, 1).size() == 2);
  CHECK(engine::command_nodes(lowered, 4).size() == 2);
}
