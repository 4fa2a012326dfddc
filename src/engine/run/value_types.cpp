// The types that each op on a GPU reads and writes, and conversions where they differ.
#include "engine/run/value_types.hpp"

#include <algorithm>
#include <utility>

namespace ktx::engine {

using graph::Graph;
using graph::Node;
using graph::NumberType;
using graph::Op;
using graph::Value;

namespace {

// Queries are rounded as soon as they are rotated.
bool reads_bf16(Op op, size_t input) {
  return op == Op::linear || op == Op::silu_mul || op == Op::moe || (op == Op::mla && input == 0);
}

enum class Writes : uint8_t { f32, bf16, either };

Writes writes(Op op) {
  switch (op) {
    case Op::mla:
    case Op::gqa:
    case Op::silu_mul:
      return Writes::bf16;
    case Op::rms_norm:
    case Op::linear:
      return Writes::either;
    default:
      return Writes::f32;
  }
}

class Typing {
 public:
  explicit Typing(Graph& graph) : graph_(graph) {
    wanted_.resize(graph.values.size());
    for (const Node& node : graph.nodes)
      for (size_t i = 0; i < node.inputs.size(); ++i)
        wanted_of(owner(node.inputs[i])).add(type_read(node, i));
  }

  void run() {
    std::vector<Node> nodes = std::exchange(graph_.nodes, {});
    for (Node& node : nodes) {
      for (size_t i = 0; i < node.inputs.size(); ++i) node.inputs[i] = in_type(node, i);
      decide(node);
      graph_.nodes.push_back(node);
      const Wanted wanted = wanted_of(node.output);
      // Directly after its norm, so that one kernel writes both.
      if (node.on_gpu && node.op == Op::rms_norm && wanted.f32 && wanted.bf16)
        converted(node, node.output, NumberType::bf16);
    }
    for (Value& value : graph_.values)
      if (value.base >= 0) value.type = graph_.values[static_cast<size_t>(value.base)].type;
  }

 private:
  struct Wanted {
    bool f32 = false, bf16 = false;
    void add(NumberType type) { (type == NumberType::bf16 ? bf16 : f32) = true; }
  };

  Value& value(int v) { return graph_.values[static_cast<size_t>(v)]; }
  int owner(int v) { return value(v).base >= 0 ? value(v).base : v; }
  Wanted& wanted_of(int v) { return wanted_[static_cast<size_t>(v)]; }

  NumberType type_read(const Node& node, size_t input) {
    return node.on_gpu && reads_bf16(node.op, input) && !value(node.inputs[input]).routing
               ? NumberType::bf16
               : NumberType::f32;
  }

  void decide(const Node& node) {
    if (!node.on_gpu || value(node.output).routing) return;
    const Writes can = writes(node.op);
    const Wanted wanted = wanted_of(node.output);
    const bool only_bf16 = wanted.bf16 && !wanted.f32;
    if (can == Writes::bf16 || (can == Writes::either && only_bf16))
      value(node.output).type = NumberType::bf16;
  }

  // The value as the node reads it.
  int in_type(const Node& node, size_t i) {
    const int input = node.inputs[i];
    const NumberType type = type_read(node, i);
    if (value(owner(input)).type == type || value(input).routing) return input;
    return converted(node, input, type);
  }

  // The value in the other type, converted once, on its own place.
  int converted(const Node& reader, int v, NumberType type) {
    for (const auto& [from, to] : conversions_)
      if (from == v) return to;
    const int place = value(owner(v)).place;
    graph_.values.push_back(
        {.name = value(v).name + (type == NumberType::bf16 ? " in bf16" : " in f32"),
         .width = value(v).width,
         .place = place,
         .type = type});
    wanted_.emplace_back();
    const int to = static_cast<int>(graph_.values.size()) - 1;
    graph_.nodes.push_back({.op = Op::convert,
                            .inputs = {v},
                            .output = to,
                            .layer = reader.layer,
                            .place = place,
                            .on_gpu = true});
    conversions_.emplace_back(v, to);
    return to;
  }

  Graph& graph_;
  std::vector<Wanted> wanted_;                    // [values] by owner
  std::vector<std::pair<int, int>> conversions_;  // from, to
};

}  // namespace

void give_types(Graph& graph) {
  Typing(graph).run();
}

}  // namespace ktx::engine
