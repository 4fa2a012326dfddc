// Expert deferral: the graph's nodes, and a token's experts.
#include "engine/run/deferral.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace ktx::engine {

using graph::Graph;
using graph::MoeParams;
using graph::MoePart;
using graph::Node;
using graph::Op;

namespace {

bool is_on_cpu(const Node& node) {
  return node.op == Op::moe && node.place == cpu_place;
}

class Deferring {
 public:
  Deferring(Graph graph, const ModulePlaces& places)
      : graph_(std::move(graph)), deferred_(places.deferred) {}

  Graph run() {
    const auto nodes = std::exchange(graph_.nodes, {});
    auto left = std::ranges::count_if(nodes, is_on_cpu);
    for (const Node& node : nodes)
      is_on_cpu(node) ? add(node, --left > 0) : graph_.nodes.push_back(node);
    return std::move(graph_);
  }

 private:
  // The experts that were deferred before, the node's own, and their sum.
  void add(Node node, bool may_defer) {
    const auto before = std::exchange(waiting_, std::nullopt);
    if (const int count = deferred_[static_cast<size_t>(node.module)]; may_defer && count > 0) {
      auto& params = std::get<MoeParams>(node.params);
      params.deferred = count;
      params.part = MoePart::deferred;
      waiting_ = node;
      params.part = MoePart::immediate;
    }
    if (!before) {
      graph_.nodes.push_back(std::move(node));
      return;
    }
    const int layer = node.layer, sum = node.output;
    const int earlier = put(with_fetched(*before), layer, " deferred");
    const int own = put(std::move(node), layer, " alone");
    graph_.nodes.push_back({.op = Op::add,
                            .inputs = {earlier, own},
                            .output = sum,
                            .layer = layer,
                            .place = cpu_place});
  }

  // The node with what GPUs were given since its layer began, which they may still fetch while it
  // runs: as an input it stays until then.
  Node with_fetched(Node node) const {
    for (const Node& made : graph_.nodes) {
      if (made.layer < node.layer || made.op != Op::copy || !made.on_gpu) continue;
      const int given = made.inputs[0];
      if (graph_.values[static_cast<size_t>(given)].place == cpu_place)
        node.inputs.push_back(given);
    }
    return node;
  }

  // The node in that layer, its result a new value; which one.
  int put(Node node, int layer, const char* name) {
    graph::Value made = graph_.values[static_cast<size_t>(node.output)];
    made.name += name;
    node.output = static_cast<int>(graph_.values.size());
    node.layer = layer;
    graph_.values.push_back(std::move(made));
    graph_.nodes.push_back(std::move(node));
    return graph_.nodes.back().output;
  }

  Graph graph_;
  const std::vector<int>& deferred_;  // [modules]
  std::optional<Node> waiting_;
};

}  // namespace

Graph defer_experts(Graph graph, const ModulePlaces& places) {
  return Deferring(std::move(graph), places).run();
}

void select_experts(const TokenExperts& token, MoePart part, int deferred,
                    std::span<int32_t> ids) noexcept {
  const auto& weights = token.weights;
  const auto used = std::ranges::count_if(token.ids, [](int32_t id) { return id >= 0; });
  const auto kept = std::max<int64_t>(used - deferred, 1);
  for (size_t i = 0; i < ids.size(); ++i) {
    int64_t before = 0;  // experts of more weight
    for (size_t j = 0; j < ids.size(); ++j)
      if (token.ids[j] >= 0 && (weights[j] > weights[i] || (weights[j] == weights[i] && j < i)))
        ++before;
    const bool is_deferred = before >= kept;
    ids[i] = is_deferred == (part == MoePart::deferred) ? token.ids[i] : -1;
  }
}

}  // namespace ktx::engine
