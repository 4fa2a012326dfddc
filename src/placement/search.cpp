// Candidates of every kind, planned and compared.
#include "placement/search.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "placement/apply.hpp"
#include "placement/device_memory.hpp"
#include "placement/prediction.hpp"
#include "placement/rules.hpp"
#include "placement/totals.hpp"

namespace ktx::placement {

namespace {

// A later trial must take less than this fraction of the best one's time to replace it: simpler
// placements come first, and predictions are too rough to give them up for a few percent. Added
// streaming and larger slices win ties, because they help longer prompts too.
constexpr double worth_leaving = 0.97, ties = 1.001;

/// Tokens of a slice: the usual numbers first, then smaller ones for GPUs with too little memory.
constexpr int64_t slices[] = {2048, 512, 4096, 8192};

void keep_better(Trial& best, Trial&& trial, double most) {
  const bool better = trial.plan && (!best.plan || trial.seconds < most * best.seconds);
  if (better || (!best.plan && best.refusal.empty())) best = std::move(trial);
}

/// Whether the only difference is that prompts stream experts through the GPUs.
bool adds_stream(Experts from, Experts to) {
  return (from == Experts::resident && to == Experts::resident_streamed) ||
         (from == Experts::hybrid && to == Experts::streamed);
}

/// Equal GPUs are interchangeable: what fits one fits the other.
std::pair<uint64_t, double> strength(const hw::Gpu& gpu) {
  return {gpu.memory_bytes, gpu.read_bandwidth};
}

SuggestOptions with_trained_context(SuggestOptions options, int64_t trained) {
  if (trained > 0) options.context = std::min(options.context, trained);
  return options;
}

hw::Machine with_usable_memory(hw::Machine machine, std::optional<uint64_t> vram) {
  for (auto& gpu : machine.gpus)
    if (vram) gpu.memory_bytes = std::min(gpu.memory_bytes, *vram);
  return machine;
}

/// The strongest first.
std::vector<size_t> usable_gpus(const hw::Machine& machine) {
  std::vector<size_t> gpus;
  for (size_t i = 0; i < machine.gpus.size(); ++i)
    if (capability_refusal(machine.gpus[i]).empty()) gpus.push_back(i);
  std::ranges::stable_sort(gpus, std::greater{},
                           [&](size_t i) { return strength(machine.gpus[i]); });
  return gpus;
}

void check_figures(const hw::Machine& machine, const std::vector<size_t>& gpus) {
  std::vector<std::string> missing;
  if (machine.read_bandwidth <= 0) missing.emplace_back("read_bandwidth");
  if (machine.tensor_flops <= 0) missing.emplace_back("tensor_flops");
  for (const size_t i : gpus)
    if (const auto& gpu = machine.gpus[i];
        gpu.read_bandwidth <= 0 || gpu.tensor_flops <= 0 || gpu.copy_bandwidth <= 0)
      missing.push_back("read_bandwidth, copy_bandwidth and tensor_flops of " + gpu.name);
  if (!missing.empty())
    throw_input(
        "the machine's description lacks what predictions are made from: " + base::join(missing),
        machine.name, {"ktx-plan --detect measures it on the machine itself"});
}

}  // namespace

Search::Search(const graph::Model& model, const hw::Machine& machine, const SuggestOptions& options)
    : model_(model),
      machine_(with_usable_memory(machine, options.vram)),
      options_(with_trained_context(options, model.info.context)),
      goal_(*std::ranges::find(goals, options.goal, &GoalInfo::goal)),
      gpus_(usable_gpus(machine_)) {
  check_figures(machine_, gpus_);
}

// ---- candidates ----

std::vector<Experts> Search::placements() const {
  if (gpus_.empty()) return {Experts::cpu};
  if (routed_experts(model_) == nullptr) return {Experts::gpu, Experts::cpu};
  return {Experts::gpu,    Experts::resident, Experts::resident_streamed,
          Experts::hybrid, Experts::streamed, Experts::cpu};
}

quant::Format Search::source() const {
  const auto* module = routed_experts(model_);
  if (module == nullptr)
    module = &*std::ranges::find_if(
        model_.modules, [](const auto& m) { return m.unused.empty() && m.op == "linear"; });
  return module->weights.front().source;
}

bool Search::is_quantized() const {
  for (const auto format :
       {quant::Format::f32, quant::Format::f16, quant::Format::bf16, quant::Format::fp8})
    if (source() == format) return false;
  return true;
}

/// Formats of the experts and of all other linear layers, those with the most bits first: quality
/// is not traded for speed where memory suffices.
std::vector<std::string> Search::formats() const {
  if (is_quantized()) return {"keep"};
  return {source() == quant::Format::fp8 ? "keep" : "int8", "int4/64"};
}

std::vector<std::string> Search::numa_policies() const {
  if (machine_.nodes.size() < 2) return {""};
  return {"replicate", "shard", "interleave"};
}

/// Whether the next GPU is as strong as the last of the first `count`.
bool Search::has_more_alike(size_t count) const {
  return 0 < count && count < gpus_.size() &&
         strength(machine_.gpus[gpus_[count]]) == strength(machine_.gpus[gpus_[count - 1]]);
}

/// Sets of the strongest GPUs; weaker ones would limit how much each can hold. Equal GPUs are used
/// together, unless they run the whole model: a token passes through them one after another, so
/// that more of them are no faster.
std::vector<std::vector<size_t>> Search::gpu_sets(Experts experts) const {
  if (experts == Experts::cpu) return {{}};
  std::vector<std::vector<size_t>> sets;
  for (size_t count = 1; count <= gpus_.size(); ++count) {
    if (has_more_alike(count) && experts != Experts::gpu) continue;
    auto& set = sets.emplace_back(gpus_.begin(), gpus_.begin() + static_cast<ptrdiff_t>(count));
    std::ranges::sort(set);
  }
  return sets;
}

/// Combines with each set of GPUs, and with each NUMA policy if the CPU has weights to read.
std::vector<Candidate> Search::candidates(const Candidate& like,
                                          const std::vector<std::string>& policies) const {
  std::vector<Candidate> out;
  for (const auto& gpus : gpu_sets(like.experts))
    for (const auto& numa : policies) {
      if (like.experts == Experts::gpu && numa != policies.front()) continue;
      out.push_back(like);
      out.back().gpus = gpus;
      out.back().numa = numa;
    }
  return out;
}

// ---- trials ----

Trial Search::best(const hw::Machine& machine, const std::vector<std::string>& policies) const {
  Trial best;
  for (const auto& format : formats()) {
    bool on_gpu = false;
    for (const auto& dense : formats()) {
      if (on_gpu) break;
      for (const Experts experts : placements()) {
        // Formats of fewer bits are for GPUs with too little memory, or if nothing else fits.
        const bool fewer = dense != formats().front();
        if (fewer && best.plan && experts == Experts::cpu) continue;
        Trial trial =
            best_slices({.experts = experts, .format = format, .dense = dense}, policies, machine);
        on_gpu |= trial.plan && experts != Experts::cpu;
        const bool alike = adds_stream(best.candidate.experts, experts);
        keep_better(best, std::move(trial), alike ? ties : worth_leaving);
      }
    }
    if (best.plan) break;
  }
  return best;
}

/// Tries candidates like this one with each size of slices, since some fit only with small ones;
/// returns the best.
Trial Search::best_slices(const Candidate& like, const std::vector<std::string>& policies,
                          const hw::Machine& machine) const {
  Trial best;
  for (const int64_t chunk : slices) {
    if (chunk > like.chunk && (chunk > options_.context || !best.plan)) break;
    const bool found = best.plan.has_value();
    for (auto& candidate : found ? std::vector{best.candidate} : candidates(like, policies)) {
      candidate.chunk = chunk;
      keep_better(best, attempt(candidate, machine),
                  found && chunk > best.candidate.chunk ? ties : worth_leaving);
    }
  }
  return best;
}

Trial Search::smallest() const {
  auto roomy = machine_;
  for (auto& node : roomy.nodes) node.memory_bytes *= 1024;
  const auto memory = [](const Trial& trial) { return trial.plan->find_device("cpu")->most(); };
  Trial least;
  for (const Experts experts : placements())
    for (const auto& candidate :
         candidates({.experts = experts, .format = formats().back(), .dense = formats().front()},
                    numa_policies())) {
      Trial trial = attempt(candidate, roomy);
      if (trial.plan && (!least.plan || memory(trial) < memory(least))) least = std::move(trial);
    }
  return least;
}

Trial Search::attempt(const Candidate& candidate, const hw::Machine& machine) const {
  Trial trial{.candidate = candidate, .text = rules_text(candidate, model_, machine, options_)};
  try {
    trial.plan = make_plan(parse_rules(base::parse_yaml(trial.text, "suggested"), "suggested"),
                           model_, machine, {.run_memory = options_.run_memory});
    trial.seconds = seconds(*trial.plan);
  } catch (const Error& error) {
    trial.refusal = error.what();
    if (error.category() == ErrorCategory::input && !error.notes().empty())
      trial.unsupported = error.notes().front();
  }
  if (trial.plan && !std::isfinite(trial.seconds)) trial.plan.reset();
  if (trial.plan) trial.refusal = why_not_worth_it(candidate, *trial.plan, machine);
  if (!trial.refusal.empty()) trial.plan.reset();
  return trial;
}

/// Why a plan that could run is not accepted; empty: it is accepted.
std::string Search::why_not_worth_it(const Candidate& candidate, const Plan& plan,
                                     const hw::Machine& machine) const {
  if (streams(candidate.experts) && stream_share(plan) < least_stream)
    return "hardly any expert would be streamed through a GPU";
  for (const auto& memory : plan.devices) {
    const bool on_cpu = memory.device == "cpu";
    if (!on_cpu && has_more_alike(candidate.gpus.size()) &&
        memory.most() > room_on_gpus(candidate.gpus, machine))
      return "there is more room on more GPUs";
    const auto has = memory_of(plan, memory.device);
    if (has > 0 && (on_cpu || !options_.vram) &&
        memory.most() + kept_free(memory.device, has) > has)
      return memory.device + " would be full";
  }
  return {};
}

int64_t Search::prompt() const {
  const int64_t both = goal_.prompt + goal_.answer;
  return both <= options_.context ? goal_.prompt
                                  : (options_.context * goal_.prompt + both - 1) / both;
}

int64_t Search::answer() const {
  return std::min(goal_.answer, options_.context - prompt());
}

double Search::seconds(const Plan& plan) const {
  return static_cast<double>(prompt()) / prefill_rate(plan, prompt()) +
         static_cast<double>(answer()) / decode_rate(plan, prompt());
}

double stream_share(const Plan& plan) {
  double sum = 0, count = 0;
  for (const auto& planned : plan.modules)
    if (planned.stream) sum += planned.stream_share, ++count;
  return count > 0 ? sum / count : 0;
}

}  // namespace ktx::placement
