// Grouping of linear nodes; running graphs is covered by engine_test.
// covers: commands, commands_attention
#include "engine/run/executor.hpp"

#include "catch.hpp"

using namespace ktx;
using graph::Node;
using graph::Op;

TEST_CASE("linears that read one value come together, in an order that still holds") {
  graph::Graph g;
  g.values.resize(8);
  const auto add = [&](Op op, std::vector<int> in, int out) {
    Node node;
    node.op = op;
    node.module = out;
    node.inputs = std::move(in);
    node.output = out;
    node.layer = 0;
    g.nodes.push_back(node);
  };
  add(Op::embedding, {}, 0);
  add(Op::rms_norm, {0}, 1);
  add(Op::linear, {1}, 2);  // q_a
  add(Op::rms_norm, {2}, 3);
  add(Op::linear, {3}, 4);  // q_b
  add(Op::linear, {1}, 5);  // kv_a
  add(Op::silu_mul, {4, 5}, 6);
  add(Op::linear, {6}, 7);

  const auto grouped = engine::group_linears(g);
  std::vector<int> order;
  for (const auto& node : grouped.nodes) order.push_back(node.output);
  CHECK(order == std::vector<int>{0, 1, 2, 5, 3, 4, 6, 7});
  for (size_t i = 0; i < order.size(); ++i)
    for (const int in : grouped.nodes[i].inputs)
      CHECK(std::find(order.begin(), order.begin() + static_cast<ptrdiff_t>(i), in) !=
            order.begin() + static_cast<ptrdiff_t>(i));
}
