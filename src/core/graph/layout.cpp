// Puts the values of each place into one arena by their lifetimes.
#include <algorithm>

#include "core/base/error.hpp"
#include "core/graph/graph.hpp"

namespace ktx::graph {
namespace {

constexpr int64_t alignment = 64;  // bytes: a cache line

int64_t bytes_of(NumberType type) {
  return type == NumberType::bf16 ? 2 : 4;
}

int owner(const Graph& graph, int value) {
  const int base = graph.values[static_cast<size_t>(value)].base;
  return base >= 0 ? base : value;
}

/// The last node of each node's layer.
std::vector<size_t> layer_ends(const Graph& graph) {
  std::vector<size_t> ends(graph.nodes.size());
  for (size_t i = ends.size(); i-- > 0;) {
    const bool last = i + 1 == ends.size() || graph.nodes[i + 1].layer != graph.nodes[i].layer;
    ends[i] = last ? i : ends[i + 1];
  }
  return ends;
}

/// The last node that reads each value or a view of it. Logits outlive all nodes, and so does what
/// last_rows reads: the nodes from there on may run again for other rows.
std::vector<size_t> last_reads(const Graph& graph, std::span<const size_t> last_of_command) {
  std::vector<size_t> last(graph.values.size(), 0);
  const std::vector<size_t> ends = layer_ends(graph);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    const size_t ran = last_of_command.empty() ? i : last_of_command[i];
    // On the CPU, which does not wait for what GPUs copy.
    const auto done = [&](size_t value) {
      return node.op == Op::copy && graph.values[value].place == 0 ? ends[i] : ran;
    };
    for (int input : node.inputs) {
      const size_t value = static_cast<size_t>(owner(graph, input));
      const size_t read = node.op == Op::last_rows ? graph.nodes.size() : done(value);
      last[value] = std::max(last[value], read);
    }
    // Alive while it is written, even if nobody reads it.
    const auto output = static_cast<size_t>(node.output);
    last[output] = std::max(last[output], done(output));
  }
  if (graph.logits >= 0) {
    last[static_cast<size_t>(owner(graph, graph.logits))] = graph.nodes.size();
  }
  return last;
}

struct Block {
  int64_t begin = 0, end = 0;
  size_t last = 0;  // the node after which it is free
};

/// Start of the first gap of `size` bytes between blocks, which are sorted by begin.
int64_t first_gap(const std::vector<Block>& blocks, int64_t size) {
  int64_t begin = 0;
  for (const Block& block : blocks) {
    if (block.begin - begin >= size) break;
    begin = std::max(begin, block.end);
  }
  return begin;
}

/// The live block of a value that the node may overwrite with its output: of a sum, where nothing
/// reads the value afterwards. Null: there is none.
/// ran: the last node of its command.
Block* overwritten(const Graph& graph, size_t i, size_t ran, const std::vector<size_t>& last,
                   const ValueLayout& layout, std::vector<Block>& live) {
  const Node& node = graph.nodes[i];
  const Value& output = graph.values[static_cast<size_t>(node.output)];
  if (node.op != Op::add) return nullptr;
  for (const int input : node.inputs) {
    const Value& value = graph.values[static_cast<size_t>(input)];
    const bool same = value.base < 0 && value.place == output.place && value.type == output.type &&
                      value.width == output.width;
    if (!same || last[static_cast<size_t>(input)] != ran) continue;
    const auto block =
        std::ranges::find(live, layout.offset[static_cast<size_t>(input)], &Block::begin);
    if (block != live.end()) return &*block;
  }
  return nullptr;
}

}  // namespace

ValueLayout layout_values(const Graph& graph, int64_t tokens, int64_t logit_rows,
                          std::span<const size_t> last_of_command) {
  require(tokens > 0 && logit_rows > 0, "layout_values: at least one token");
  ValueLayout layout;
  layout.offset.assign(graph.values.size(), 0);
  layout.stride.assign(graph.values.size(), 0);
  const std::vector<size_t> last = last_reads(graph, last_of_command);
  std::vector<std::vector<Block>> places;  // the live blocks of each
  int64_t rows = tokens;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].op == Op::last_rows) rows = logit_rows;
    const auto output = static_cast<size_t>(graph.nodes[i].output);
    const Value& value = graph.values[output];
    const auto place = static_cast<size_t>(value.place);
    places.resize(std::max(places.size(), place + 1));
    layout.arena.resize(places.size(), 0);
    std::vector<Block>& live = places[place];
    std::erase_if(live, [i](const Block& block) { return block.last < i; });
    layout.stride[output] = value.width;
    const size_t ran = last_of_command.empty() ? i : last_of_command[i];
    if (Block* block = overwritten(graph, i, ran, last, layout, live)) {
      layout.offset[output] = block->begin;
      block->last = last[output];
      continue;
    }
    const int64_t bytes = rows * value.width * (value.routing ? 8 : bytes_of(value.type));
    const int64_t size = (bytes + alignment - 1) / alignment * alignment;
    const int64_t begin = first_gap(live, size);
    const Block block{begin, begin + size, last[output]};
    live.insert(std::upper_bound(live.begin(), live.end(), block,
                                 [](const Block& a, const Block& b) { return a.begin < b.begin; }),
                block);
    layout.offset[output] = begin;
    layout.arena[place] = std::max(layout.arena[place], block.end);
  }
  for (const int64_t size : layout.arena) layout.size += size;
  for (size_t i = 0; i < graph.values.size(); ++i) {
    const Value& value = graph.values[i];
    if (value.base < 0) continue;
    layout.offset[i] =
        layout.offset[static_cast<size_t>(value.base)] + value.offset * bytes_of(value.type);
    layout.stride[i] = layout.stride[static_cast<size_t>(value.base)];
  }
  return layout;
}

}  // namespace ktx::graph
