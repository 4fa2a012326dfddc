// Lowering: places, copies, experts of several places, and the order of nodes.
#include "engine/run/lowering.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/error.hpp"
#include "engine/run/deferral.hpp"
#include "engine/run/value_types.hpp"

namespace ktx::engine {

using graph::Graph;
using graph::Node;
using graph::Op;
using graph::Value;

namespace {

bool same_input(const Node& a, const Node& b) {
  return a.op == Op::linear && b.op == Op::linear && a.place == b.place &&
         a.inputs[0] == b.inputs[0];
}

int place_of_value(const Graph& graph, int v) {
  const Value& value = graph.values[static_cast<size_t>(v)];
  return value.base >= 0 ? graph.values[static_cast<size_t>(value.base)].place : value.place;
}

class Placing {
 public:
  Placing(const Graph& graph, const ModulePlaces& places)
      : nodes_(graph.nodes), places_(places), out_(graph) {
    out_.nodes.clear();
  }

  Graph run() {
    for (const Node& node : nodes_) {
      const auto places = places_of(node);
      places.size() == 1 ? add(node, places.front()) : add_on_each(node, places);
    }
    if (out_.logits >= 0) out_.logits = on(cpu_place, out_.logits, -1);
    for (Value& value : out_.values)
      if (value.base >= 0) value.place = out_.values[static_cast<size_t>(value.base)].place;
    return std::move(out_);
  }

 private:
  Value& value(int v) { return out_.values[static_cast<size_t>(v)]; }
  bool is_gpu(int place) const {
    return places_.places[static_cast<size_t>(place)].kind == device::DeviceKind::cuda;
  }

  std::vector<int> places_of(const Node& node) {
    if (node.module < 0) {
      for (const int input : node.inputs) {
        const int place = place_of_value(out_, input);
        if (is_gpu(place)) return {place};
      }
      return {place_of_value(out_, node.inputs.front())};
    }
    if (places_.of_module.empty()) return {cpu_place};
    return places_.of_module[static_cast<size_t>(node.module)];
  }

  void add(Node node, int place) {
    for (int& input : node.inputs) input = on(place, input, node.layer);
    put(std::move(node), place);
  }

  void put(Node node, int place) {
    node.place = value(node.output).place = place;
    node.on_gpu = is_gpu(place);
    out_.nodes.push_back(std::move(node));
  }

  // The value on that place: itself, or its copy.
  int on(int place, int v, int layer) {
    if (place_of_value(out_, v) == place) return v;
    const auto [known, is_new] = copies_.try_emplace({v, place}, -1);
    if (is_new) {
      known->second = new_value({.name = value(v).name + " on place " + std::to_string(place),
                                 .width = value(v).width,
                                 .routing = value(v).routing,
                                 .place = place});
      put({.op = Op::copy, .inputs = {v}, .output = known->second, .layer = layer}, place);
    }
    return known->second;
  }

  int new_value(Value made) {
    out_.values.push_back(std::move(made));
    return static_cast<int>(out_.values.size()) - 1;
  }

  // A partial result on each place, and their sum on the place of the input.
  void add_on_each(const Node& node, std::span<const int> places) {
    const int home = place_of_value(out_, node.inputs.front());
    const auto module = static_cast<size_t>(node.module);
    const bool streams = !places_.streams.empty() && places_.streams[module];
    int sum = -1;
    for (size_t i = 0; i < places.size(); ++i) {
      const bool last = i + 1 == places.size();
      Node part = node;
      part.output =
          new_value({.name = value(node.output).name + " of place " + std::to_string(places[i]),
                     .width = value(node.output).width});
      for (int& input : part.inputs) input = on(places[i], input, node.layer);
      if (streams && last) part.inputs.push_back(on(cpu_place, node.inputs[1], node.layer));
      put(std::move(part), places[i]);
      const int made = static_cast<int>(out_.nodes.back().output);
      if (i == 0) {
        sum = made;
        continue;
      }
      const int total = last ? node.output
                             : new_value({.name = value(node.output).name + " so far",
                                          .width = value(node.output).width});
      add({.op = Op::add, .inputs = {sum, made}, .output = total, .layer = node.layer}, home);
      sum = total;
    }
  }

  const std::vector<Node>& nodes_;
  const ModulePlaces& places_;
  Graph out_;
  std::map<std::pair<int, int>, int> copies_;  // (value, place) -> its copy there
};

// Orders the nodes of each layer: those of GPUs as soon as they are ready.
class Ordering {
 public:
  Ordering(Graph graph, const ModulePlaces& places)
      : graph_(std::move(graph)), places_(places), made_(graph_.values.size(), true) {
    for (const Node& node : graph_.nodes) made(node.output) = false;
  }

  Graph run() {
    std::vector<Node> waiting = std::exchange(graph_.nodes, {});
    for (size_t begin = 0, end = 0; begin < waiting.size(); begin = end) {
      while (end < waiting.size() && waiting[end].layer == waiting[begin].layer &&
             (waiting[end].op == Op::last_rows) == (waiting[begin].op == Op::last_rows))
        ++end;
      order(std::span(waiting).subspan(begin, end - begin));
    }
    return std::move(graph_);
  }

 private:
  std::vector<bool>::reference made(int v) {
    const int base = graph_.values[static_cast<size_t>(v)].base;
    return made_[static_cast<size_t>(base >= 0 ? base : v)];
  }
  bool is_gpu(int place) const {
    return places_.places[static_cast<size_t>(place)].kind == device::DeviceKind::cuda;
  }
  // Whether the node only submits work to a GPU. Copies to the CPU count, since the GPU makes them.
  bool is_of_gpu(const Node& node) const {
    return is_gpu(node.place) ||
           (node.op == Op::copy && is_gpu(place_of_value(graph_, node.inputs.front())));
  }

  void order(std::span<Node> nodes) {
    std::vector<bool> placed(nodes.size());
    for (size_t count = 0; count < nodes.size(); ++count) {
      const size_t next = first_ready(nodes, placed);
      placed[next] = true;
      made(nodes[next].output) = true;
      graph_.nodes.push_back(std::move(nodes[next]));
    }
  }

  // The first node of a GPU, else the first node.
  size_t first_ready(std::span<const Node> nodes, const std::vector<bool>& placed) {
    size_t first = nodes.size();
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (placed[i] || !std::ranges::all_of(nodes[i].inputs, [&](int v) { return made(v); }))
        continue;
      if (is_of_gpu(nodes[i])) return i;
      first = std::min(first, i);
    }
    require(first < nodes.size(), "a node stands before what it reads");
    return first;
  }

  Graph graph_;
  const ModulePlaces& places_;
  std::vector<bool> made_;  // [values] by owner
};

bool is_read_once(const Graph& graph, int v) {
  int reads = v == graph.logits ? 1 : 0;
  for (const Node& node : graph.nodes)
    for (const int input : node.inputs) {
      const Value& value = graph.values[static_cast<size_t>(input)];
      if (input == v || value.base == v) ++reads;
    }
  return reads == 1;
}

bool is_copy_beside(const Graph& graph, const Node& a, const Node& b) {
  return b.op == Op::copy && b.place == a.place && b.layer == a.layer &&
         place_of_value(graph, b.inputs[0]) == place_of_value(graph, a.inputs[0]);
}

// Whether a GPU runs gate, up and their SiLU product together.
bool is_gated(const Graph& graph, const Node& gate, const Node& up, const Node& product) {
  return gate.on_gpu && product.op == Op::silu_mul && product.place == gate.place &&
         product.inputs[0] == gate.output && product.inputs[1] == up.output &&
         is_read_once(graph, gate.output) && is_read_once(graph, up.output);
}

// Whether b, which follows a on a GPU, is fused into a's kernel.
bool is_fused(const Graph& graph, const Node& a, const Node& b) {
  if (a.place != b.place || !a.on_gpu) return false;
  if (a.op == Op::add) return b.op == Op::rms_norm && b.inputs[0] == a.output;
  if (a.op == Op::rms_norm && b.op == Op::mla)
    return b.inputs[1] == a.output && is_read_once(graph, a.output);
  if (a.op == Op::rms_norm) return b.op == Op::convert && b.inputs[0] == a.output;
  if (a.op == Op::copy)  // from the CPU
    return b.op == Op::add && a.layer == b.layer &&
           (b.inputs[0] == a.output) != (b.inputs[1] == a.output) &&
           place_of_value(graph, a.inputs[0]) == cpu_place && is_read_once(graph, a.output);
  return a.op == Op::linear && b.op == Op::add && a.layer == b.layer &&
         (b.inputs[0] == a.output) != (b.inputs[1] == a.output) && is_read_once(graph, a.output);
}

// Whether b, which follows a on the same place, adds a's output to a value computed before.
bool is_sum_of(const Graph& graph, const Node& a, const Node& b) {
  return b.op == Op::add && b.place == a.place && b.layer == a.layer &&
         std::ranges::count(b.inputs, a.output) == 1 && is_read_once(graph, a.output);
}

// The nodes after routed experts on the CPU that run in the same command: the shared expert, if it
// reads the same value, and the sum of both.
size_t shared_expert_nodes(const Graph& graph, std::span<const Node> nodes) {
  constexpr size_t count = 6;  // with the experts themselves
  const Node& moe = nodes.front();
  if (nodes.size() < count) return 0;
  const Node &gate = nodes[1], &up = nodes[2], &product = nodes[3], &down = nodes[4],
             &sum = nodes[5];
  const bool is_expert = gate.op == Op::linear && gate.inputs[0] == moe.inputs[0] &&
                         same_input(gate, up) && product.op == Op::silu_mul &&
                         product.inputs == std::vector{gate.output, up.output} &&
                         down.op == Op::linear && down.inputs[0] == product.output &&
                         sum.op == Op::add && sum.inputs == std::vector{moe.output, down.output};
  const auto together = [&](const Node& n) { return n.place == moe.place && n.layer == moe.layer; };
  const auto inner = nodes.first(count - 1);
  const bool goes_along =
      is_expert && std::ranges::all_of(nodes.first(count), together) &&
      std::ranges::all_of(inner, [&](const Node& n) { return is_read_once(graph, n.output); });
  return goes_along ? count - 1 : 0;
}

// The number of nodes that one command runs on the CPU: routed experts, perhaps the shared one, and
// perhaps the sum of that and another value.
size_t expert_nodes(const Graph& graph, std::span<const Node> nodes) {
  const size_t count = 1 + shared_expert_nodes(graph, nodes);
  const bool is_added = count < nodes.size() && is_sum_of(graph, nodes[count - 1], nodes[count]);
  return is_added ? count + 1 : count;
}

}  // namespace

std::span<const Node> command_nodes(const Graph& graph, size_t first) {
  const auto nodes = std::span(graph.nodes).subspan(first);
  const auto run_of = [&](const auto& belongs) {
    size_t count = 1;
    while (count < nodes.size() && count < most_grouped && belongs(nodes[count])) ++count;
    return count;
  };
  const Node& node = nodes.front();
  size_t count = 1;
  if (node.op == Op::linear) count = run_of([&](const Node& n) { return same_input(node, n); });
  if (count == 2 && nodes.size() > 2 && is_gated(graph, node, nodes[1], nodes[2])) count = 3;
  if (node.op == Op::moe && !node.on_gpu) return nodes.first(expert_nodes(graph, nodes));
  if (node.op == Op::copy)
    count = run_of([&](const Node& n) { return is_copy_beside(graph, node, n); });
  if (count == 1 && nodes.size() > 1 && is_fused(graph, node, nodes[1])) count = 2;
  if (count == 2 && node.op == Op::add && nodes.size() > 2 && is_fused(graph, nodes[1], nodes[2]) &&
      nodes[2].op == Op::convert)
    count = 3;
  return nodes.first(count);
}

Graph group_linears(Graph graph) {
  auto& nodes = graph.nodes;
  for (size_t i = 0; i < nodes.size(); ++i) {
    size_t end = i + 1;
    while (end < nodes.size() && same_input(nodes[i], nodes[end])) ++end;
    // A later linear node needs only the input that node i has too, so it may move up to here.
    for (size_t j = end; j < nodes.size(); ++j)
      if (same_input(nodes[i], nodes[j])) {
        const auto at = nodes.begin();
        std::rotate(at + static_cast<std::ptrdiff_t>(end), at + static_cast<std::ptrdiff_t>(j),
                    at + static_cast<std::ptrdiff_t>(j) + 1);
        ++end;
      }
    i = end - 1;
  }
  return graph;
}

Graph lower(const Graph& graph, const ModulePlaces& places) {
  Graph lowered = Placing(graph, places).run();
  if (!places.deferred.empty()) lowered = defer_experts(std::move(lowered), places);
  give_types(lowered);
  return group_linears(Ordering(std::move(lowered), places).run());
}

}  // namespace ktx::engine
