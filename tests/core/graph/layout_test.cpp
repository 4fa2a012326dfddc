// The arena of values: brute force over every pair of values that live at the same time.
#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "tiny.hpp"

using namespace ktx::graph;

namespace {

size_t owner(const Graph& g, int value) {
  const int base = g.values[static_cast<size_t>(value)].base;
  return static_cast<size_t>(base >= 0 ? base : value);
}

struct Life {
  size_t from = 0, to = 0;  // nodes
  int64_t begin = 0, end = 0;
  bool owns = false;
};

std::vector<Life> lives(const Graph& g, const ValueLayout& layout, int64_t tokens, int64_t rows) {
  std::vector<Life> out(g.values.size());
  bool after_last_rows = false;
  for (size_t i = 0; i < g.nodes.size(); ++i) {
    const Node& node = g.nodes[i];
    after_last_rows = after_last_rows || node.op == Op::last_rows;
    const size_t v = owner(g, node.output);
    const int64_t size =
        (after_last_rows ? rows : tokens) * g.values[v].width * (g.values[v].routing ? 8 : 4);
    out[v] = {i, i, layout.offset[v], layout.offset[v] + size, true};
    // The nodes from last_rows on may run again, so what it reads lives on.
    for (int input : node.inputs) {
      Life& read = out[owner(g, input)];
      read.to = std::max(read.to, node.op == Op::last_rows ? g.nodes.size() : i);
    }
  }
  out[owner(g, g.logits)].to = g.nodes.size();
  return out;
}

/// Whether b is a sum that took the place of a, whose last reader it is.
bool overwrites(const Graph& g, const std::vector<Life>& all, size_t a, size_t b) {
  if (all[b].from != all[a].to || all[a].begin != all[b].begin) return false;
  const Node& node = g.nodes[all[b].from];
  return node.op == Op::add &&
         std::ranges::find(node.inputs, static_cast<int>(a)) != node.inputs.end();
}

}  // namespace

TEST_CASE("values of a place that live at the same time never overlap") {
  const std::tuple<int64_t, int64_t, int> cases[] = {{1, 1, 1},    {3, 1, 1},  {17, 17, 1},
                                                     {512, 32, 1}, {17, 3, 2}, {512, 32, 3}};
  for (const auto& [tokens, rows, places] : cases) {
    Model model = test::tiny_model(3);
    Graph& g = model.graph;
    for (size_t v = 0; v < g.values.size(); ++v)
      g.values[v].place = static_cast<int>(owner(g, static_cast<int>(v))) % places;
    const ValueLayout layout = layout_values(g, tokens, rows);
    const std::vector<Life> all = lives(g, layout, tokens, rows);
    int64_t sum = 0;
    int sums = 0;
    for (size_t a = 0; a < all.size(); ++a) {
      if (!all[a].owns) continue;
      sum += all[a].end - all[a].begin;
      CHECK(all[a].begin % 64 == 0);
      CHECK(all[a].begin >= 0);
      CHECK(all[a].end <= layout.arena[static_cast<size_t>(g.values[a].place)]);
      CHECK(layout.stride[a] == g.values[a].width);
      for (size_t b = a + 1; b < all.size(); ++b) {
        const bool together = all[b].owns && all[a].from <= all[b].to && all[b].from <= all[a].to;
        if (!together || g.values[a].place != g.values[b].place) continue;
        if (overwrites(g, all, a, b) || overwrites(g, all, b, a)) {
          ++sums;
          continue;
        }
        INFO("tokens " << tokens << " values " << g.values[a].name << ", " << g.values[b].name);
        CHECK((all[a].end <= all[b].begin || all[b].end <= all[a].begin));
      }
    }
    CHECK(layout.arena.size() == static_cast<size_t>(places));
    CHECK(std::accumulate(layout.arena.begin(), layout.arena.end(), int64_t{0}) == layout.size);
    CHECK((places > 1 || sums > 0));
    if (tokens > 16 && places == 1)
      CHECK(layout.size < sum / 3);  // the space of dead values is used again
  }
}

TEST_CASE("the arena doesn't grow with layers") {
  CHECK(layout_values(test::tiny_model(2).graph, 64, 32).size ==
        layout_values(test::tiny_model(20).graph, 64, 32).size);
}

TEST_CASE("a view lies within its value and keeps its stride") {
  const Model model = test::tiny_model();
  const Graph& g = model.graph;
  const ValueLayout layout = layout_values(g, 5, 1);
  int views = 0;
  for (size_t v = 0; v < g.values.size(); ++v) {
    if (g.values[v].base < 0) continue;
    const auto base = static_cast<size_t>(g.values[v].base);
    CHECK(layout.offset[v] == layout.offset[base] + 4 * g.values[v].offset);
    CHECK(layout.stride[v] == g.values[base].width);
    ++views;
  }
  CHECK(views == 2);
  CHECK(test::error_of([&] { layout_values(g, 0, 1); }) ==
        "bug: layout_values: at least one token");
}

TEST_CASE("what a command reads stays until its last node") {
  const auto layout_with = [](std::span<const size_t> last_of_command) {
    Graph g;  // 0 -> 1 -> 2: without commands 2 takes the place of 0
    for (int v = 0; v < 3; ++v) g.values.push_back({.name = "v", .width = 4});
    g.nodes.push_back({.op = Op::embedding, .output = 0});
    g.nodes.push_back({.op = Op::linear, .inputs = {0}, .output = 1});
    g.nodes.push_back({.op = Op::linear, .inputs = {1}, .output = 2});
    return layout_values(g, 1, 1, last_of_command);
  };
  const auto alone = layout_with({});
  CHECK(alone.offset[2] == alone.offset[0]);
  const std::vector<size_t> together{0, 2, 2};
  const auto joined = layout_with(together);
  CHECK(joined.offset[2] != joined.offset[0]);
  CHECK(joined.offset[2] != joined.offset[1]);
}
