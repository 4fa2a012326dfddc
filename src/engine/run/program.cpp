// From a plan to a program: lowering, memory by lifetimes, commands.
#include "engine/run/program.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "engine/run/commands.hpp"
#include "engine/run/lowering.hpp"

namespace ktx::engine {

using graph::Node;
using graph::Op;

namespace {

bool same_rope(const graph::Rope& a, const graph::Rope& b) {
  return a.frequency == b.frequency && a.magnitude == b.magnitude && a.interleaved == b.interleaved;
}

const graph::Rope* rope_of(const Node& node) {
  if (const auto* mla = std::get_if<graph::MlaParams>(&node.params)) return &mla->rotary;
  if (const auto* gqa = std::get_if<graph::GqaParams>(&node.params)) return &gqa->rotary;
  return nullptr;
}

// Bytes of scratch on each place: of the command that needs most.
std::vector<size_t> most_scratch(const CommandContext& context, const graph::Graph& graph,
                                 size_t places) {
  std::vector<size_t> most(places, 0);
  for (size_t i = 0; i < graph.nodes.size();) {
    const auto nodes = command_nodes(graph.nodes, i);
    auto& of_place = most[static_cast<size_t>(nodes.front().place)];
    of_place = std::max(of_place, scratch_bytes(context, nodes));
    i += nodes.size();
  }
  return most;
}

CommandContext command_context(const placement::Plan& plan, const Weights& weights,
                               const graph::Graph& graph) {
  return {.plan = &plan,
          .weights = &weights,
          .graph = &graph,
          .max_rows = plan.step_rows(),
          .max_sequences = plan.sessions,
          .workers = plan.threads};
}

}  // namespace

StepMemory step_memory(const placement::Plan& plan) {
  const Weights weights(plan);
  const auto graph = group_linears(plan.model.graph);
  StepMemory memory{.scratch =
                        most_scratch(command_context(plan, weights, graph), graph, 1).front()};
  std::vector<const graph::Rope*> ropes;  // those that differ
  for (const auto& node : graph.nodes) {
    const auto* rope = rope_of(node);
    if (rope == nullptr ||
        std::ranges::any_of(ropes, [&](const auto* known) { return same_rope(*known, *rope); }))
      continue;
    ropes.push_back(rope);
    memory.rope_tables += ops::RopeTable::bytes(*rope, plan.cache_length);
  }
  return memory;
}

Program::Program(const placement::Plan& plan, const Weights& weights, ProgramPlaces places)
    : places_(std::move(places)), max_rows_(plan.step_rows()), max_sequences_(plan.sessions) {
  places_.of_module.resize(plan.model.modules.size(), {0});
  graph_ = lower(plan.model.graph, places_.of_module);
  layout_ = graph::layout_values(graph_, max_rows_, graph::max_logit_rows);
  layout_.arena.resize(places_.places.size(), 0);
  compile(plan, weights);
}

const ops::RopeTable* Program::rope_table(const graph::Rope& rope, int64_t positions) {
  for (const auto& [known, table] : rope_tables_)
    if (same_rope(known, rope)) return table.get();
  rope_tables_.emplace_back(rope, std::make_unique<ops::RopeTable>(rope, positions));
  return rope_tables_.back().second.get();
}

void Program::compile(const placement::Plan& plan, const Weights& weights) {
  auto context = command_context(plan, weights, graph_);
  context.slots = &places_.slots;
  context.rope_table = [&](const graph::Rope& rope) { return rope_table(rope, plan.cache_length); };
  for (size_t v = 0; v < graph_.values.size(); ++v)
    context.values.push_back({.place = graph_.values[v].place,
                              .offset = layout_.offset[v],
                              .stride = layout_.stride[v],
                              .width = graph_.values[v].width});
  scratch_bytes_ = most_scratch(context, graph_, places_.places.size());

  std::vector<size_t> ends;  // of the layers, in body_
  for (size_t i = 0; i < graph_.nodes.size();) {
    const auto nodes = command_nodes(graph_.nodes, i);
    const bool tail = in_tail(context, nodes.front());
    (tail ? tail_ : body_).push_back(make_command(context, nodes));
    const int layer = nodes.front().layer;
    i += nodes.size();
    const bool ends_layer = i == graph_.nodes.size() || graph_.nodes[i].layer != layer;
    if (!tail && layer >= 0 && ends_layer) ends.push_back(body_.size());
  }
  if (ends.empty()) ends.push_back(0);
  ends.back() = body_.size();
  for (size_t begin = 0; const size_t end : ends) {
    layers_.push_back(Commands(body_).subspan(begin, end - begin));
    begin = end;
  }
  logits_ = context.values[static_cast<size_t>(graph_.logits)];
  require(logits_.stride == logits_.width, "logits rows are not contiguous");
}

}  // namespace ktx::engine
