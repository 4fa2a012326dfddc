// One module's place.
#include "placement/place_module.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "placement/apply.hpp"
#include "placement/kernel_choice.hpp"
#include "placement/keywords.hpp"
#include "placement/numa.hpp"
#include "placement/residents.hpp"
#include "placement/values.hpp"
#include "placement/weights.hpp"

namespace ktx::placement {

namespace {

void decide(const Place& place, Decision& decision) {
  for (const auto& keyword : place_keywords()) keyword.apply(place, decision);
}

// The layers that a rule is for.
std::vector<int> layers_of(const Rule& rule, const graph::Model& model) {
  std::vector<int> layers;
  for (int layer = 0; layer < model.info.layers; ++layer)
    if (matches_layers(rule.match, {.layer = layer})) layers.push_back(layer);
  return layers;
}

[[noreturn]] void throw_stored_once(const std::string& what, const char* key,
                                    const std::string& where) {
  throw_input(what + " can't differ from that of place: weights are stored once, for both phases",
              where, {"give " + std::string(key) + " in place"});
}

// The place in one phase: `both`, overridden by the keys of the phase's own map.
Decision decide_phase(const std::optional<Place>& place, const Decision& both, const char* phase) {
  if (!place) return both;
  Decision decision = both;
  decide(*place, decision);
  const std::string start = std::string(phase) + ": ";
  const bool moved = decision.device != both.device;
  if (place->experts)
    throw_input(start + "experts stay where they are in both phases", place->experts->where,
                {"give experts in place"});
  if (moved && (decision.op == graph::Op::mla || decision.op == graph::Op::gqa))
    throw_input(start + "device " + decision.device + " differs from " + both.device +
                    " of place: attention runs both phases where its KV cache lies",
                place->devices->where,
                {"give the device in place, and let this rule match no attention"});
  const bool stored_once = !moved || decision.stream;
  if (stored_once && place->format && decision.format != both.format)
    throw_stored_once(start + "the format", "the format", place->format->where);
  if (stored_once && place->numa && (!both.numa || !(place->numa->value == both.numa->value)))
    throw_stored_once(start + "the numa policy", "numa", place->numa->where);
  if (moved && !place->op && !decision.stream) decision.kernel = {.where = both.kernel.where};
  return decision;
}

void check_stream(const Rule& rule, const Decision& decode, const Decision& prefill) {
  for (const auto* place : {&rule.place, rule.decode ? &*rule.decode : nullptr})
    if (place != nullptr && place->stream)
      throw_input("stream: only prompts stream experts", place->stream->where,
                  {"give it in prefill: {device: cuda:0, stream: yes}"});
  if (!prefill.stream) return;
  const auto& where = rule.prefill->stream->where;
  if (!is_gpu(prefill.device))
    throw_input("stream: " + prefill.module->path + " prefills on " + prefill.device +
                    "; experts pass through a GPU",
                where, {"give it, e.g. prefill: {device: cuda:0, stream: yes}"});
  if (decode.device != "cpu")
    throw_input("stream: " + decode.module->path + " lies on " + decode.device +
                    "; only experts on the cpu pass through a GPU",
                where, {"place: {device: cpu}, or leave stream out"});
}

// The number of a token's experts that are deferred while decoding.
int deferred_experts(const Rule& rule, const Decision& decode, const Plan& plan) {
  if (rule.prefill && rule.prefill->defer)
    throw_input("defer: prompts do not defer experts", rule.prefill->defer->where,
                {"give it in place or decode"});
  const auto& [count, where] = decode.defer;
  if (count == 0) return 0;
  if (is_gpu(decode.device))
    throw_input("defer: " + decode.module->path + " decodes on " + decode.device +
                    "; only experts on the cpu run beside a GPU's next layer",
                where, {"place: {device: cpu}, or leave defer out"});
  const int used = plan.experts_per_token[static_cast<size_t>(decode.module->layer)];
  if (count >= used)
    throw_input("defer: " + std::to_string(count) + " of the " + std::to_string(used) +
                    " experts that a token has in " + decode.module->path +
                    "; at least one must be computed in its own layer",
                where,
                {used > 1 ? "at most " + std::to_string(used - 1) + "; 1 or 2 are usually enough"
                          : "leave defer out"});
  return count;
}

std::string unapplied_format(const Decision& decision, const std::vector<PlannedWeight>& weights) {
  const bool kept = !decision.format;
  if (decision.op == graph::Op::mla && is_gpu(decision.device)) {
    const auto asked = [&](const PlannedWeight& w) { return decision.format.value_or(w.source); };
    const auto other =
        std::ranges::find_if(weights, [&](const auto& w) { return w.format != asked(w); });
    if (other == weights.end()) return "";
    return std::string(quant::name(other->format)) + ", not " +
           (kept ? "as stored" : std::string(quant::name(*decision.format))) +
           ": GPUs read the matrices of latent attention in bf16 or int8";
  }
  if (kept || *decision.format == quant::Format::f32 || weights.empty()) return "";
  for (const auto& weight : decision.module->weights)
    if (!always_f32(decision.op, weight)) return "";
  const char* why = decision.op == graph::Op::router     ? "routers"
                    : decision.op == graph::Op::rms_norm ? "norms"
                                                         : "vectors";
  return "f32, not " + std::string(quant::name(*decision.format)) + ": " + why +
         " always run in f32";
}

NumaPolicy choose_policy(const Decision& decision, std::span<const int> node_threads,
                         std::string& note) {
  const auto& nodes = decision.machine->nodes;
  const auto policy = effective_policy(decision.op, decision.numa ? &decision.numa->value : nullptr,
                                       *decision.machine, note);
  for (size_t n = 0; n < nodes.size(); ++n)
    if (policy.kind == NumaKind::node && policy.node == nodes[n].id && node_threads[n] == 0)
      throw_input(
          "numa: " + to_string(policy) + ": no worker runs on that node", decision.numa->where,
          {"the " + std::to_string(decision.machine->core_count()) +
           " cores of this machine share the threads: more of them (--threads) would help"});
  return policy;
}

// The weights as a phase's device stores them.
std::vector<PlannedWeight> store(const Decision& decision, std::span<const quant::Format> formats,
                                 std::span<const ops::Layout> layouts, const NumaPolicy& numa,
                                 const Plan& plan) {
  std::vector<PlannedWeight> weights;
  for (size_t i = 0; i < formats.size(); ++i) {
    const auto& weight = decision.module->weights[i];
    PlannedWeight stored{weight.role, weight.source, formats[i], layouts[i]};
    stored.parts = is_gpu(decision.device)
                       ? part_on_gpu(weight, stored)
                       : parts_of(weight, is_packed(decision.op, weight), stored, numa,
                                  plan.machine, plan.node_threads);
    for (const auto& part : stored.parts) stored.bytes += part.bytes;
    weights.push_back(std::move(stored));
  }
  return weights;
}

KernelChoice choose(const Decision& decode, const Decision& prefill,
                    std::span<const quant::Format> formats, graph::KvFormat cache) {
  const KernelTask task{decode.module,       decode.op, formats, device_kind(decode.device),
                        decode.machine->isa, cache};
  return choose_kernels(task, ops::kernels(decode.op), decode.kernel, prefill.kernel);
}

}  // namespace

PlannedModule place_module(const Rule& rule, const graph::Module& module, const Plan& plan) {
  const auto layers = layers_of(rule, plan.model);
  Decision both{.machine = &plan.machine, .module = &module, .op = op_of(module), .layers = layers};
  both.kernel.where = rule.where;
  decide(rule.place, both);
  const auto decode = decide_phase(rule.decode, both, "decode");
  const auto prefill = decide_phase(rule.prefill, both, "prefill");
  check_stream(rule, decode, prefill);

  PlannedModule planned;
  planned.rule_name = rule.name;
  planned.rule_where = file_and_line(rule.where);
  planned.device = decode.device;
  planned.prefill_device = prefill.device;
  planned.stream = prefill.stream;
  planned.deferred = deferred_experts(rule, decode, plan);
  const bool on_cpu = !is_gpu(decode.device) || !is_gpu(prefill.device);
  if (on_cpu)
    planned.numa = choose_policy(is_gpu(decode.device) ? prefill : decode, plan.node_threads,
                                 planned.numa_note);
  const bool copies = decode.device != prefill.device && !prefill.stream;
  const auto formats = choose_formats(decode);
  auto kernels = choose(decode, copies ? decode : prefill, formats, plan.cache_format);
  planned.decode = std::move(kernels.decode);
  planned.prefill = std::move(kernels.prefill);
  planned.weights = store(decode, formats, kernels.layouts, planned.numa, plan);
  planned.note = unapplied_format(decode, planned.weights);
  if (copies) {
    const auto others = choose_formats(prefill);
    kernels = choose(prefill, prefill, others, plan.cache_format);
    planned.prefill = std::move(kernels.prefill);
    planned.prefill_weights = store(prefill, others, kernels.layouts, planned.numa, plan);
  }
  if (planned.stream)
    check_experts_on_gpu(planned, module, "stream", prefill.device, rule.prefill->stream->where);
  if (both.experts) start_residents(*both.experts, both.experts_on, module, planned);
  return planned;
}

void defer_none_at_last(Plan& plan) {
  const auto last = std::find_if(plan.modules.rbegin(), plan.modules.rend(), [&](const auto& p) {
    return plan.module_of(p).op == "moe" && p.device == "cpu";
  });
  if (last != plan.modules.rend()) last->deferred = 0;
}

}  // namespace ktx::placement
