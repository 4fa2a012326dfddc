// Lowering: places, copies, experts of several places, linear nodes side by side.
#include "engine/run/lowering.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace ktx::engine {

using graph::Graph;
using graph::Node;
using graph::Op;
using graph::Value;

namespace {

bool same_input(const Node& a, const Node& b) {
  return a.op == Op::linear && b.op == Op::linear && a.inputs[0] == b.inputs[0];
}

class Lowering {
 public:
  Lowering(const Graph& graph, std::span<const std::vector<int>> places)
      : nodes_(graph.nodes), places_(places), out_(graph) {
    out_.nodes.clear();
  }

  Graph run() {
    for (const Node& node : nodes_) {
      const auto places = places_of(node);
      places.size() == 1 ? add(node, places.front()) : add_on_each(node, places);
    }
    for (Value& value : out_.values)
      if (value.base >= 0) value.place = out_.values[static_cast<size_t>(value.base)].place;
    return std::move(out_);
  }

 private:
  Value& value(int v) { return out_.values[static_cast<size_t>(v)]; }
  int place_of(int v) { return value(value(v).base >= 0 ? value(v).base : v).place; }

  std::vector<int> places_of(const Node& node) {
    if (node.module < 0) return {place_of(node.inputs.front())};
    return places_[static_cast<size_t>(node.module)];
  }

  void add(Node node, int place) {
    for (int& input : node.inputs) input = on(place, input, node.layer);
    node.place = value(node.output).place = place;
    out_.nodes.push_back(std::move(node));
  }

  // The value on that place: itself, or its copy.
  int on(int place, int v, int layer) {
    if (place_of(v) == place) return v;
    const auto [known, is_new] = copies_.try_emplace({v, place}, -1);
    if (is_new) {
      known->second = new_value({.name = value(v).name + " on place " + std::to_string(place),
                                 .width = value(v).width,
                                 .routing = value(v).routing,
                                 .place = place});
      out_.nodes.push_back(
          {.op = Op::copy, .inputs = {v}, .output = known->second, .layer = layer, .place = place});
    }
    return known->second;
  }

  int new_value(Value made) {
    out_.values.push_back(std::move(made));
    return static_cast<int>(out_.values.size()) - 1;
  }

  // A partial result on each place, and their sum where the input lies.
  void add_on_each(const Node& node, std::span<const int> places) {
    const int home = place_of(node.inputs.front());
    int sum = -1;
    for (size_t i = 0; i < places.size(); ++i) {
      Node part = node;
      part.output =
          new_value({.name = value(node.output).name + " of place " + std::to_string(places[i]),
                     .width = value(node.output).width});
      add(part, places[i]);
      if (i == 0) {
        sum = part.output;
        continue;
      }
      const bool last = i + 1 == places.size();
      const int total = last ? node.output
                             : new_value({.name = value(node.output).name + " so far",
                                          .width = value(node.output).width});
      add({.op = Op::add, .inputs = {sum, part.output}, .output = total, .layer = node.layer},
          home);
      sum = total;
    }
  }

  const std::vector<Node>& nodes_;
  std::span<const std::vector<int>> places_;
  Graph out_;
  std::map<std::pair<int, int>, int> copies_;  // (value, place) -> its copy there
};

}  // namespace

std::span<const Node> command_nodes(std::span<const Node> nodes, size_t first) {
  size_t count = 1;
  while (first + count < nodes.size() && count < most_grouped &&
         same_input(nodes[first], nodes[first + count]))
    ++count;
  return nodes.subspan(first, count);
}

Graph group_linears(Graph graph) {
  auto& nodes = graph.nodes;
  for (size_t i = 0; i < nodes.size(); ++i) {
    size_t end = i + 1;
    while (end < nodes.size() && same_input(nodes[i], nodes[end])) ++end;
    // A later linear needs nothing but the input that node i has already: it may move up to here.
    for (size_t j = end; j < nodes.size() && nodes[j].layer == nodes[i].layer; ++j)
      if (same_input(nodes[i], nodes[j])) {
        std::rotate(nodes.begin() + static_cast<ptrdiff_t>(end),
                    nodes.begin() + static_cast<ptrdiff_t>(j),
                    nodes.begin() + static_cast<ptrdiff_t>(j) + 1);
        ++end;
      }
    i = end - 1;
  }
  return graph;
}

Graph lower(const Graph& graph, std::span<const std::vector<int>> places) {
  return group_linears(Lowering(graph, places).run());
}

}  // namespace ktx::engine
