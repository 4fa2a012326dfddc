// Compiling a graph into commands and running them.
#include "engine/run/executor.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "engine/load/node_memory.hpp"

namespace ktx::engine {

using graph::Graph;
using graph::Node;
using graph::Op;

namespace {

bool same_input(const Node& a, const Node& b) {
  return a.op == Op::linear && b.op == Op::linear && a.inputs[0] == b.inputs[0];
}

bool same_rope(const graph::Rope& a, const graph::Rope& b) {
  return a.frequency == b.frequency && a.magnitude == b.magnitude && a.interleaved == b.interleaved;
}

// The run of nodes from `first` on that one command executes.
std::span<const Node> command_nodes(const std::vector<Node>& nodes, size_t first) {
  size_t end = first + 1;
  while (end < nodes.size() && same_input(nodes[first], nodes[end])) ++end;
  return {nodes.data() + first, end - first};
}

// Bytes of scratch of the command that needs most.
size_t most_scratch(const CommandContext& context, const Graph& graph) {
  size_t most = 0;
  for (size_t i = 0; i < graph.nodes.size();) {
    const auto nodes = command_nodes(graph.nodes, i);
    most = std::max(most, scratch_bytes(context, nodes));
    i += nodes.size();
  }
  return most;
}

const graph::Rope* rope_of(const Node& node) {
  if (const auto* mla = std::get_if<graph::MlaParams>(&node.params)) return &mla->rotary;
  if (const auto* gqa = std::get_if<graph::GqaParams>(&node.params)) return &gqa->rotary;
  return nullptr;
}

// The graph of tokens that use as many experts as the plan says: of the whole width of a routing
// nothing is left empty.
Graph with_default_experts(const placement::Plan& plan) {
  Graph graph = plan.model.graph;
  for (auto& node : graph.nodes) {
    auto* router = std::get_if<graph::RouterParams>(&node.params);
    auto* moe = std::get_if<graph::MoeParams>(&node.params);
    if (router == nullptr && moe == nullptr) continue;
    const int count = plan.experts_per_token[static_cast<size_t>(node.layer)];
    (router != nullptr ? router->top_k : moe->top_k) = count;
    if (router != nullptr) graph.values[static_cast<size_t>(node.output)].width = count;
  }
  return graph;
}

}  // namespace

StepMemory step_memory(const placement::Plan& plan) {
  const Weights weights(plan);
  CommandContext context{.plan = &plan, .weights = &weights};
  context.max_tokens = plan.prefill_chunk;
  context.workers = plan.threads;
  StepMemory memory{.scratch = most_scratch(context, group_linears(plan.model.graph))};
  std::vector<const graph::Rope*> ropes;  // those that differ
  for (const auto& node : plan.model.graph.nodes) {
    const auto* rope = rope_of(node);
    if (rope == nullptr ||
        std::ranges::any_of(ropes, [&](const auto* known) { return same_rope(*known, *rope); }))
      continue;
    ropes.push_back(rope);
    memory.rope_tables += ops::RopeTable::bytes(*rope, plan.cache_length);
  }
  return memory;
}

Graph group_linears(Graph graph) {
  auto& nodes = graph.nodes;
  for (size_t i = 0; i < nodes.size(); ++i) {
    size_t end = i + 1;
    while (end < nodes.size() && same_input(nodes[i], nodes[end])) ++end;
    // A later linear needs nothing but the input that node i has already: it may move up to here.
    for (size_t j = end; j < nodes.size(); ++j)
      if (same_input(nodes[i], nodes[j]) && nodes[i].layer == nodes[j].layer) {
        std::rotate(nodes.begin() + static_cast<ptrdiff_t>(end),
                    nodes.begin() + static_cast<ptrdiff_t>(j),
                    nodes.begin() + static_cast<ptrdiff_t>(j) + 1);
        ++end;
      }
    i = end - 1;
  }
  return graph;
}

Executor::Executor(const placement::Plan& plan, const Weights& weights, hw::WorkerPool& pool)
    : graph_(group_linears(with_default_experts(plan))),
      pool_(pool),
      max_tokens_(plan.prefill_chunk) {
  compile(plan, weights);
}

int64_t Executor::vocab() const noexcept {
  return logits_.width;
}

void Executor::compile(const placement::Plan& plan, const Weights& weights) {
  CommandContext context{.plan = &plan, .weights = &weights};
  context.max_tokens = max_tokens_;
  context.workers = pool_.size();
  context.rope_table = [&](const graph::Rope& rope) -> const ops::RopeTable* {
    for (const auto& [known, table] : rope_tables_)
      if (same_rope(known, rope)) return table.get();
    rope_tables_.emplace_back(rope, std::make_unique<ops::RopeTable>(rope, plan.cache_length));
    return rope_tables_.back().second.get();
  };

  const auto layout = graph::layout_values(graph_, max_tokens_, graph::max_logit_rows);
  values_ = base::Buffer(static_cast<size_t>(layout.size) * sizeof(float), true);
  interleave(values_, plan.machine);
  for (size_t v = 0; v < graph_.values.size(); ++v)
    context.values.push_back({.data = values_.as<float>() + layout.offset[v],
                              .stride = layout.stride[v],
                              .width = graph_.values[v].width});

  scratch_ = base::Buffer(most_scratch(context, graph_), true);
  interleave(scratch_, plan.machine);
  context.scratch = scratch_.data();

  bool tail = false;
  for (size_t i = 0; i < graph_.nodes.size();) {
    const auto nodes = command_nodes(graph_.nodes, i);
    tail = tail || nodes.front().op == Op::last_rows;
    (tail ? tail_ : body_).push_back(make_command(context, nodes));
    i += nodes.size();
  }
  logits_ = context.values[static_cast<size_t>(graph_.logits)];
  require(logits_.stride == logits_.width, "logits rows are not contiguous");
}

bool Executor::run(const Step& step, const std::atomic<bool>& cancel) noexcept {
  const auto seat = pool_.seat_caller();
  for (const auto& command : body_) {
    if (cancel.load(std::memory_order_relaxed)) return false;
    command->run(step, pool_);
  }
  return true;
}

const float* Executor::logits(const Step& step, int64_t begin, int64_t rows) noexcept {
  Step now = step;
  now.tail_begin = begin;
  now.tail_rows = rows;
  const auto seat = pool_.seat_caller();
  for (const auto& command : tail_) command->run(now, pool_);
  return logits_.data;
}

}  // namespace ktx::engine
