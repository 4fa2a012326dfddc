// From a plan to a program: lowering, memory by lifetimes, commands.
#include "engine/run/program.hpp"

#include <algorithm>
#include <utility>

#include "core/base/error.hpp"
#include "engine/run/commands.hpp"
#include "engine/run/lowering.hpp"

namespace ktx::engine {

using graph::Node;
using graph::Op;

namespace {

// Bytes of scratch on each place: the maximum over its commands.
std::vector<size_t> most_scratch(const CommandContext& context) {
  std::vector<size_t> most(context.places.size(), 0);
  for (size_t i = 0; i < context.graph->nodes.size();) {
    const auto nodes = command_nodes(*context.graph, i);
    auto& of_place = most[static_cast<size_t>(nodes.front().place)];
    of_place = std::max(of_place, scratch_bytes(context, nodes));
    i += nodes.size();
  }
  return most;
}

CommandContext command_context(const placement::Plan& plan, const Weights& weights,
                               const graph::Graph& graph, const graph::ValueLayout& layout,
                               const ModulePlaces& places) {
  CommandContext context{.plan = &plan,
                         .weights = &weights,
                         .graph = &graph,
                         .places = places.places,
                         .modules = &places,
                         .max_sequences = plan.sessions,
                         .workers = plan.threads};
  for (size_t v = 0; v < graph.values.size(); ++v)
    context.values.push_back({.place = graph.values[v].place,
                              .type = graph.values[v].type,
                              .routing = graph.values[v].routing,
                              .offset = layout.offset[v],
                              .stride = layout.stride[v],
                              .width = graph.values[v].width});
  return context;
}

graph::ValueLayout layout_of(const graph::Graph& lowered, const ModulePlaces& places,
                             int64_t max_rows) {
  std::vector<size_t> last_of_command;
  while (last_of_command.size() < lowered.nodes.size()) {
    const size_t first = last_of_command.size();
    const size_t count = command_nodes(lowered, first).size();
    last_of_command.insert(last_of_command.end(), count, first + count - 1);
  }
  auto layout = graph::layout_values(lowered, max_rows, graph::max_logit_rows, last_of_command);
  layout.arena.resize(places.places.size(), 0);
  return layout;
}

// The op's name; linear layers and norms, of which there are many, also get their module's.
std::string name_of(const CommandContext& context, const Node& node) {
  std::string name(graph::info(node.op).name);
  if (node.op == Op::linear || node.op == Op::rms_norm) {
    const auto& path = context.plan->model.modules[static_cast<size_t>(node.module)].path;
    name += " " + path.substr(path.rfind('.') + 1);
  }
  return name;
}

// A norm of latents is named after the attention that it belongs to.
CommandLabel label_of(const CommandContext& context, std::span<const Node> nodes, int layer) {
  const Node& node = nodes.back().op == Op::mla ? nodes.back() : nodes.front();
  CommandLabel label{.name = name_of(context, node), .layer = layer};
  if (node.op == Op::copy) {
    const int from = context.values[static_cast<size_t>(node.inputs[0])].place;
    label.name = "copy to " + device::to_string(context.place(node.place));
    // The copy waits for another GPU, or in a recorded step for the CPU's answer.
    const bool waits = context.is_gpu(from) && context.is_gpu(node.place);
    label.kind = waits ? SpanKind::wait : SpanKind::copy;
    label.recorded_kind = context.is_gpu(node.place) ? SpanKind::wait : SpanKind::copy;
  } else if (node.op == Op::moe && context.is_gpu(node.place) && context.streams(node.module)) {
    // The copies and products of streamed experts are spans of their own.
    label.name = "wait for experts";
    label.kind = label.recorded_kind = SpanKind::wait;
  } else if (node.op == Op::moe &&
             std::get<graph::MoeParams>(node.params).part == graph::MoePart::deferred) {
    label.name = "moe, deferred";
  }
  return label;
}

// Orders the commands of a program and inserts those that synchronize the CPU with GPUs: every post
// of a GPU is received and answered exactly once, in the order of posts, even if nothing is copied
// to that GPU.
class Assembly {
 public:
  using List = std::vector<std::unique_ptr<Command>>;

  explicit Assembly(const CommandContext& context)
      : context_(context),
        lines_(context.places.size()),
        came_from_(context.graph->values.size(), -1) {}

  void begin(List& out) {
    for (int p = 0; p < static_cast<int>(context_.places.size()); ++p)
      if (context_.is_gpu(p)) emit(out, make_inputs_command(context_, p), "inputs", SpanKind::copy);
  }

  /// layer: as of a Span.
  void add(std::span<const Node> nodes, int layer, List& out) {
    layer_ = layer;
    const Node& node = nodes.front();
    for (const Node& n : nodes)
      for (const int input : n.inputs)
        if (const int from = came_from_[owner(input)]; from >= 0) receive(from, out);
    const int from = node.op == Op::copy ? context_.values[owner(node.inputs[0])].place : -1;
    const bool to_cpu = from >= 0 && context_.is_gpu(from) && !context_.is_gpu(node.place);
    if (to_cpu) finish(from, out);
    if (from >= 0 && !context_.is_gpu(from) && context_.is_gpu(node.place)) {
      if (!lines_[at(node.place)].posted && !lines_[at(node.place)].received) {
        emit(out, make_post_command(context_, node.place), "post", SpanKind::copy);
        lines_[at(node.place)].posted = true;
      }
      finish(node.place, out);
    }
    out.push_back(make_command(context_, nodes));
    out.back()->set_label(label_of(context_, nodes, layer));
    if (!to_cpu) return;
    lines_[at(from)].posted = true;
    for (const Node& n : nodes) came_from_[at(n.output)] = from;
  }

  void end(List& out) {
    for (int p = 0; p < static_cast<int>(lines_.size()); ++p) finish(p, out);
  }

 private:
  struct Line {
    bool posted = false, received = false;
  };

  void emit(List& out, std::unique_ptr<Command> command, const char* name, SpanKind kind) const {
    command->set_label({.name = name, .layer = layer_, .kind = kind, .recorded_kind = kind});
    out.push_back(std::move(command));
  }
  static size_t at(int i) { return static_cast<size_t>(i); }
  size_t owner(int v) const {
    const int base = context_.graph->values[at(v)].base;
    return at(base >= 0 ? base : v);
  }
  void receive(int gpu, List& out) {
    auto& line = lines_[at(gpu)];
    if (!line.posted) return;
    emit(out, make_receive_command(context_, gpu), "receive", SpanKind::wait);
    line = {.posted = false, .received = true};
    std::ranges::replace(came_from_, gpu, -1);
  }
  void finish(int gpu, List& out) {
    receive(gpu, out);
    if (lines_[at(gpu)].received)
      emit(out, make_answer_command(context_, gpu), "answer", SpanKind::submit);
    lines_[at(gpu)] = {};
  }

  const CommandContext& context_;
  int layer_ = -1;
  std::vector<Line> lines_;     // [places]
  std::vector<int> came_from_;  // [values] the GPU whose copy the CPU has yet to receive, or -1
};

}  // namespace

int CommandContext::multiprocessors(int place) const {
  constexpr int most = 192;
  const auto index = static_cast<size_t>(places[static_cast<size_t>(place)].index);
  const auto& gpus = plan->machine.gpus;
  return index < gpus.size() && gpus[index].multiprocessors > 0 ? gpus[index].multiprocessors
                                                                : most;
}

ProgramMemory program_memory(const placement::Plan& plan, const Weights& weights,
                             const ModulePlaces& places, const MostRows& most) {
  const auto graph = lower(plan.model.graph, places);
  const auto layout = layout_of(graph, places, most.of_step);
  auto context = command_context(plan, weights, graph, layout, places);
  context.max_rows = most.of_step;
  context.max_sequence_rows = most.of_sequence;
  return {layout.arena, most_scratch(context)};
}

ModulePlaces module_places(const placement::Plan& plan, Phase phase) {
  ModulePlaces out{.places = places_of(plan), .of_module = {}, .streams = {}, .deferred = {}};
  out.of_module.resize(plan.model.modules.size(), {0});
  out.streams.resize(plan.model.modules.size());
  const auto index_of = [&](const std::string& device) {
    const auto found = std::ranges::find(out.places, *device::parse_device(device));
    return static_cast<int>(found - out.places.begin());
  };
  for (const auto& planned : plan.modules) {
    const auto m = static_cast<size_t>(planned.module);
    const bool slice = phase == Phase::prefill;
    std::vector<int> places{
        index_of(slice && !planned.stream ? planned.prefill_device : planned.device)};
    const auto add = [&](const std::string& device) {
      const int place = index_of(device);
      if (std::ranges::find(places, place) == places.end()) places.push_back(place);
    };
    if (!planned.residents.experts.empty()) add(planned.residents.device);
    if (slice && planned.stream) {
      add(planned.prefill_device);
      require(places.back() == index_of(planned.prefill_device),
              "experts are streamed to a GPU that is not the last of their places");
      out.streams[m] = true;
    }
    out.of_module[m] = std::move(places);
    if (!slice && planned.deferred > 0) {
      out.deferred.resize(plan.model.modules.size());
      out.deferred[m] = planned.deferred;
    }
  }
  return out;
}

Program::Program(const placement::Plan& plan, const Weights& weights, ProgramPlaces places,
                 MostRows most, const Devices* devices, RopeTables* ropes)
    : places_(std::move(places)),
      devices_(devices),
      most_(most.of_step > 0
                ? most
                : MostRows{std::max(plan.prefill_chunk, plan.decode_rows()), plan.prefill_chunk}),
      max_sequences_(plan.sessions),
      max_pages_(graph::pages_of(plan.cache_length)),
      own_ropes_(plan.cache_length, devices) {
  for (const int count : plan.experts_per_token)
    if (count > 0 && std::ranges::find(default_experts_, count) == default_experts_.end())
      default_experts_.push_back(count);
  for (const auto& node : plan.model.graph.nodes)
    if (const auto* moe = std::get_if<graph::MoeParams>(&node.params))
      max_experts_ = std::max(max_experts_, moe->experts);
  graph_ = lower(plan.model.graph, places_.modules);
  layout_ = layout_of(graph_, places_.modules, most_.of_step);
  compile(plan, weights, ropes);
}

Program::~Program() = default;

void Program::compile(const placement::Plan& plan, const Weights& weights, RopeTables* ropes) {
  auto context = command_context(plan, weights, graph_, layout_, places_.modules);
  context.devices = devices_;
  context.slots = &places_.slots;
  context.max_rows = most_.of_step;
  context.max_sequence_rows = most_.of_sequence;
  context.ropes = ropes != nullptr ? ropes : &own_ropes_;
  scratch_bytes_ = most_scratch(context);

  Assembly assembly(context);
  assembly.begin(body_);
  std::vector<size_t> ends;  // of the layers, in body_
  bool in_body = true;
  for (size_t i = 0; i < graph_.nodes.size();) {
    const auto nodes = command_nodes(graph_, i);
    const bool tail = in_tail(context, nodes.front());
    if (tail && std::exchange(in_body, false)) assembly.end(body_);
    const int layer = nodes.front().layer;
    assembly.add(nodes, tail ? plan.model.info.layers : layer, tail ? tail_ : body_);
    i += nodes.size();
    const bool ends_layer = i == graph_.nodes.size() || graph_.nodes[i].layer != layer;
    if (!tail && layer >= 0 && ends_layer) ends.push_back(body_.size());
  }
  assembly.end(in_body ? body_ : tail_);
  if (ends.empty()) ends.push_back(0);
  ends.back() = body_.size();
  for (size_t begin = 0; const size_t end : ends) {
    layers_.push_back(Commands(body_).subspan(begin, end - begin));
    begin = end;
  }
  logits_ = context.values[static_cast<size_t>(graph_.logits)];
  require(logits_.stride == logits_.width && logits_.place == 0, "logits rows are not contiguous");
}

}  // namespace ktx::engine
