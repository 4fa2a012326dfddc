// Suggestions: candidates are written as rules files and planned as any other.
#include "placement/suggest.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "placement/candidate.hpp"
#include "placement/device_memory.hpp"
#include "placement/prediction.hpp"
#include "placement/rules.hpp"
#include "placement/totals.hpp"
#include "placement/values.hpp"

namespace ktx::placement {

namespace {

constexpr uint64_t gib = uint64_t{1} << 30;

struct GoalInfo {
  Goal goal;
  std::string_view name;
  int64_t prompt, answer;  // tokens of what is compared
};
constexpr GoalInfo goals[] = {
    {Goal::decode, "decode", 256, 1024},
    {Goal::prefill, "prefill", 8192, 64},
    {Goal::balanced, "balanced", 2048, 512},
};

const GoalInfo& info(Goal goal) {
  return *std::ranges::find(goals, goal, &GoalInfo::goal);
}

struct Trial {
  Candidate candidate;
  std::string text;  // the rules
  std::optional<Plan> plan;
  double seconds = 0;
  std::string refusal;      // why there is no plan
  std::string unsupported;  // what a kernel says that can't run a module
};

/// All that a search is about.
class Search {
 public:
  Search(const graph::Model& model, const hw::Machine& machine, const SuggestOptions& options)
      : model_(model), machine_(machine), options_(options), goal_(info(options.goal)) {
    const int64_t trained = model_.info.context;
    if (trained > 0) options_.context = std::min(options_.context, trained);
    if (options_.vram)
      for (auto& gpu : machine_.gpus) gpu.memory_bytes = std::min(gpu.memory_bytes, *options_.vram);
    for (const auto& module : model_.modules) {
      if (!module.unused.empty()) continue;
      if (module.op == "moe") experts_ = &module;
      if (module.op == "linear" && linear_ == nullptr) linear_ = &module;
    }
  }

  std::string run() {
    check_figures();
    Trial best = search(machine_, numa_policies());
    const uint64_t has = machine_.memory_bytes();
    if (!best.plan)
      throw_environment("no placement of this model fits the machine", machine_.name,
                        {what_it_needs(best),
                         "the machine has " + base::format_bytes(has) + " of memory, of which " +
                             base::format_bytes(kept_free("cpu", has)) + " should stay free",
                         "a checkpoint of fewer bits a weight needs less"});
    return header(best) + with_needs(best);
  }

 private:
  // ---- candidates ----

  std::vector<Experts> placements() const {
    if (machine_.gpus.empty()) return {Experts::cpu};
    if (experts_ == nullptr) return {Experts::gpu, Experts::cpu};
    return {Experts::gpu,    Experts::resident, Experts::resident_streamed,
            Experts::hybrid, Experts::streamed, Experts::cpu};
  }

  /// Of the experts, in a model without them of its linear layers.
  quant::Format source() const {
    return (experts_ != nullptr ? experts_ : linear_)->weights.front().source;
  }
  bool is_fp8() const { return source() == quant::Format::fp8; }
  bool is_quantized() const {
    return !is_fp8() && source() != quant::Format::f32 && source() != quant::Format::f16 &&
           source() != quant::Format::bf16;
  }

  /// Of the experts, and of all other linear layers: those of most bits first, for speed is not
  /// bought with quality where memory suffices.
  std::vector<std::string> formats() const {
    if (is_quantized()) return {"keep"};
    return {is_fp8() ? "keep" : "int8", "int4/64"};
  }

  std::vector<std::string> numa_policies() const {
    if (machine_.nodes.size() < 2) return {""};
    return {"replicate", "shard", "interleave"};
  }

  /// The placements with experts in `format` and other linear layers in `dense`, with each policy
  /// for those that have anything to read on the CPU. Where GPUs run all, some may do: a token
  /// passes through them one after another, so that more are no faster.
  std::vector<Candidate> candidates(const std::string& format, const std::string& dense,
                                    const std::vector<std::string>& policies) const {
    std::vector<Candidate> out;
    const size_t gpus = machine_.gpus.size();
    for (const Experts experts : placements()) {
      if (experts == Experts::gpu)
        for (size_t some = 1; some < gpus; ++some)
          out.push_back({experts, format, dense, policies.front(), some});
      for (const auto& numa : policies)
        if (experts != Experts::gpu || numa == policies.front())
          out.push_back({experts, format, dense, numa, experts == Experts::cpu ? 0 : gpus});
    }
    return out;
  }

  /// The best of the placements, with the best of the policies and slices.
  Trial search(const hw::Machine& machine, const std::vector<std::string>& policies) const {
    Trial best;
    for (const auto& format : formats()) {
      bool on_gpu = false;
      for (const auto& dense : formats()) {
        if (on_gpu) break;
        for (const auto& candidate : candidates(format, dense, policies)) {
          // Fewer bits are for GPUs that are too small, or where nothing fits.
          const bool fewer = dense != formats().front();
          if (fewer && best.plan && candidate.experts == Experts::cpu) continue;
          const auto on_gpus = [](const Candidate& c) { return c.experts == Experts::gpu; };
          if (best.plan && on_gpus(best.candidate) && on_gpus(candidate)) continue;  // on fewer
          Trial trial = attempt(candidate, machine);
          on_gpu |= trial.plan && candidate.experts != Experts::cpu;
          const bool adds_stream =
              streams(candidate.experts) && candidate.experts != best.candidate.experts;
          keep_better(best, std::move(trial), adds_stream ? ties : worth_leaving);
        }
      }
      if (best.plan) break;
    }
    if (!best.plan) return best;
    for (const int64_t chunk : {512, 4096, 8192}) {
      if (chunk > options_.context) break;
      Candidate other = best.candidate;
      other.chunk = chunk;
      keep_better(best, attempt(other, machine),
                  chunk > best.candidate.chunk ? ties : worth_leaving);
    }
    return best;
  }

  // What a later trial may take of the best one's time to replace it. Simpler placements come
  // first: predictions are too rough to leave them for a few percent. Streams and larger slices win
  // ties, for they serve longer prompts too.
  static constexpr double worth_leaving = 0.97, ties = 1.001;

  static void keep_better(Trial& best, Trial&& trial, double most) {
    const bool better = trial.plan && (!best.plan || trial.seconds < most * best.seconds);
    if (better || (!best.plan && best.refusal.empty())) best = std::move(trial);
  }

  Trial attempt(const Candidate& candidate, const hw::Machine& machine) const {
    Trial trial{.candidate = candidate,
                .text = rules_text(candidate, machine, options_, experts_ != nullptr)};
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

  /// Of a plan that could be carried out; empty: it is.
  std::string why_not_worth_it(const Candidate& candidate, const Plan& plan,
                               const hw::Machine& machine) const {
    if (streams(candidate.experts) && stream_share(plan) < least_stream)
      return "hardly an expert would pass through a GPU";
    const bool more_gpus = 0 < candidate.gpus && candidate.gpus < machine.gpus.size();
    for (const auto& memory : plan.devices) {
      const bool on_cpu = memory.device == "cpu";
      if (!on_cpu && more_gpus && memory.most() > room_on_gpu(machine))
        return "there is more room on more GPUs";
      const auto has = memory_of(plan, memory.device);
      if (has > 0 && (on_cpu || !options_.vram) &&
          memory.most() + kept_free(memory.device, has) > has)
        return memory.device + " would be full";
    }
    return {};
  }

  // Of what is compared: as the goal has it, in a shorter context in the same proportion.
  int64_t prompt() const {
    const int64_t both = goal_.prompt + goal_.answer;
    return both <= options_.context ? goal_.prompt
                                    : (options_.context * goal_.prompt + both - 1) / both;
  }
  int64_t answer() const { return std::min(goal_.answer, options_.context - prompt()); }

  /// Of a prompt and its answer; infinite: not known.
  double seconds(const Plan& plan) const {
    return static_cast<double>(prompt()) / prefill_rate(plan, prompt()) +
           static_cast<double>(answer()) / decode_rate(plan, prompt());
  }

  // ---- what is said of it ----

  void check_figures() const {
    std::vector<std::string> missing;
    if (machine_.read_bandwidth <= 0) missing.emplace_back("read_bandwidth");
    if (machine_.tensor_flops <= 0) missing.emplace_back("tensor_flops");
    for (const auto& gpu : machine_.gpus)
      if (gpu.read_bandwidth <= 0 || gpu.tensor_flops <= 0 || gpu.copy_bandwidth <= 0)
        missing.push_back("read_bandwidth, copy_bandwidth and tensor_flops of " + gpu.name);
    if (!missing.empty())
      throw_input(
          "the machine's description lacks what predictions are made from: " + base::join(missing),
          machine_.name, {"ktx-plan --detect measures it on the machine itself"});
  }

  /// Where nothing fits: the placement that takes least of the CPU's memory.
  std::string what_it_needs(const Trial& refused) const {
    auto roomy = machine_;
    for (auto& node : roomy.nodes) node.memory_bytes *= 1024;
    Trial least;
    for (const auto& candidate : candidates(formats().back(), formats().front(), numa_policies())) {
      Trial trial = attempt(candidate, roomy);
      if (trial.plan && (!least.plan || memory(*trial.plan) < memory(*least.plan)))
        least = std::move(trial);
    }
    if (!least.plan) return refused.refusal;
    const auto formats = formats_text(least.candidate);
    return where_it_is(least.candidate) + " " + (formats.empty() ? "" : formats + " ") +
           memory_text(*least.plan);
  }

  static uint64_t memory(const Plan& plan) { return plan.find_device("cpu")->most(); }

  /// The rules with what their plan needs of a machine, which is checked first.
  std::string with_needs(const Trial& best) const {
    uint64_t ram = 0, vram = 0, all_vram = 0;
    for (const auto& memory : best.plan->devices)
      (memory.device == "cpu" ? ram : vram) += memory.most();
    for (const auto& gpu : machine_.gpus) all_vram += gpu.memory_bytes;
    std::string needs = "machine: {ram: " + rounded(ram, machine_.memory_bytes());
    if (vram > 0) needs += ", vram: " + rounded(vram, all_vram);
    std::string text = best.text;
    return text.insert(text.find("model:"), needs + "}\n");
  }

  /// Up, but to no more than there is.
  static std::string rounded(uint64_t bytes, uint64_t has) {
    constexpr uint64_t mib = uint64_t{1} << 20;
    const uint64_t whole = std::max<uint64_t>(1, (bytes + gib - 1) / gib);
    return whole * gib <= has ? std::to_string(whole) + "GiB"
                              : std::to_string((bytes + mib - 1) / mib) + "MiB";
  }

  static std::string comment(const std::vector<std::string>& lines) {
    std::string text;
    for (const auto& line : lines) text += line.empty() ? "#\n" : "# " + line + "\n";
    return text;
  }

  /// Hugging Face's checkpoints have no name of their own.
  const std::string& model_name() const {
    return model_.info.name.empty() ? model_.info.architecture : model_.info.name;
  }

  std::string header(const Trial& best) const {
    const auto& plan = *best.plan;
    std::vector<std::string> lines = {model_name() + " on " + machine_.name + ", for " +
                                          std::string(goal_.name) + " use: prompts of " +
                                          std::to_string(prompt()) + " tokens, answers of " +
                                          std::to_string(answer()) + ".",
                                      "", where_it_is(best.candidate)};
    if (const auto text = formats_text(best.candidate); !text.empty()) lines.push_back(text);
    if (const auto why = why_not_on_gpu(best); !why.empty())
      lines.push_back("A GPU can't run all of it: " + why + ".");
    lines.insert(lines.end(), {memory_text(plan), ""});
    lines.push_back("Predicted: decoding " + base::format_number(plan.predicted_decode) +
                    " tokens/s behind " + std::to_string(plan.predicted_depth) + " tokens" +
                    prompts_text(plan) + ".");
    if (options_.context == model_.info.context)
      lines.push_back("Context: " + std::to_string(options_.context) +
                      " tokens, the model was trained for no more.");
    if (const double share = stream_share(plan); share > 0)
      lines.push_back("Of a layer's experts on the CPU " + base::format_number(100 * share) +
                      " % pass through a GPU in slices of " + std::to_string(plan.prefill_chunk) +
                      ".");
    const auto faster = what_is_faster(best);
    if (!faster.empty()) {
      lines.insert(lines.end(), {"", "Faster would be:"});
      lines.insert(lines.end(), faster.begin(), faster.end());
    }
    return comment(lines);
  }

  std::string where_it_is(const Candidate& c) const {
    const std::string gpus = machine_.gpus.size() > 1 ? "GPUs" : "GPU";
    const std::string rest = "; attention and everything else dense on the " + gpus + ".";
    switch (c.experts) {
      case Experts::cpu:
        return "Everything on the CPU.";
      case Experts::gpu:
        return "Everything on " +
               (c.gpus == machine_.gpus.size() ? "the " + gpus
                                               : std::to_string(c.gpus) + " of the GPUs") +
               ".";
      case Experts::hybrid:
        return "Routed experts on the CPU" + rest;
      case Experts::streamed:
        return "Routed experts on the CPU, in prompts with the help of the " + gpus + rest;
      case Experts::resident:
      case Experts::resident_streamed:
        return "Routed experts on the CPU, as many as fit on the " + gpus + rest;
    }
    return {};
  }

  std::string formats_text(const Candidate& c) const {
    const auto part = [](const char* what, const std::string& format) {
      return format == "keep" ? "" : std::string(what) + " to " + format;
    };
    std::vector<std::string> parts{part("linear layers", c.dense)};
    if (experts_ != nullptr)
      parts = {part("routed experts", c.format), part("other linear layers", c.dense)};
    std::erase(parts, "");
    return parts.empty() ? "" : "Quantized while loading: " + base::join(parts) + ".";
  }

  /// Other than for want of memory; empty: it could.
  std::string why_not_on_gpu(const Trial& best) const {
    if (machine_.gpus.empty() || best.candidate.experts == Experts::gpu) return {};
    Candidate all = best.candidate;
    all.experts = Experts::gpu;
    all.gpus = machine_.gpus.size();
    return attempt(all, machine_).unsupported;
  }

  static std::string memory_text(const Plan& plan) {
    std::string text =
        "Needs " + base::format_bytes(plan.find_device("cpu")->most()) + " of memory";
    const auto gpus = std::span(plan.devices).subspan(1);
    if (gpus.size() > 2)
      text += ", at most " +
              base::format_bytes(std::ranges::max(gpus, {}, &DeviceMemory::most).most()) +
              " of each GPU";
    else
      for (const auto& memory : gpus)
        text += ", " + base::format_bytes(memory.most()) + " of " + memory.device;
    size_t residents = 0, layers = 0;
    for (const auto& planned : plan.modules)
      if (const size_t count = planned.residents.experts.size(); count > 0)
        residents += count, ++layers;
    if (layers > 0)
      text += "; " + base::format_number(double(residents) / double(layers)) + " of " +
              std::to_string(plan.model.info.experts) + " experts a layer stay on a GPU";
    return text + ".";
  }

  static std::string prompts_text(const Plan& plan) {
    std::string text;
    for (const auto& [tokens, rate] : plan.predicted_prefill)
      text += (text.empty() ? "; prompts of " : ", of ") + std::to_string(tokens) + " tokens " +
              base::format_number(rate);
    return text;
  }

  /// Of the experts of a layer that streams them, on average.
  static double stream_share(const Plan& plan) {
    double sum = 0, count = 0;
    for (const auto& planned : plan.modules)
      if (planned.stream) sum += planned.stream_share, ++count;
    return count > 0 ? sum / count : 0;
  }

  /// Changes of the machine or of quality that take at least a twentieth off.
  std::vector<std::string> what_is_faster(const Trial& best) const {
    std::vector<std::string> lines;
    const auto say = [&](const std::string& what, const std::optional<Plan>& plan) {
      if (!plan || seconds(*plan) > 0.95 * best.seconds) return;
      lines.push_back("  " + what + ": decoding " + base::format_number(plan->predicted_decode) +
                      " tokens/s, " +
                      base::format_number(100 * (1 - seconds(*plan) / best.seconds)) +
                      " % less time for a prompt and its answer");
    };
    say("6 experts a token (-k 6), at some loss", with_experts(best, 6));
    if (best.candidate.format != "keep" || !is_quantized()) {
      Candidate smaller = best.candidate;
      (experts_ != nullptr ? smaller.format : smaller.dense) = "int4/64";
      if (best.candidate.format != smaller.format || best.candidate.dense != smaller.dense)
        say(std::string(experts_ != nullptr ? "experts" : "linear layers") +
                " in int4/64, at some loss",
            attempt(smaller, machine_).plan);
    }
    auto other = machine_;
    other.read_bandwidth *= 1.5;
    other.read_while_copying *= 1.5;
    say("half more memory bandwidth", with_speeds(*best.plan, other));
    if (machine_.gpus.empty()) return lines;
    other = machine_;
    for (auto& gpu : other.gpus) gpu.copy_bandwidth *= 2, gpu.copy_while_reading *= 2;
    say("twice the bandwidth to the GPU", with_speeds(*best.plan, other));
    other = machine_;
    for (auto& gpu : other.gpus) gpu.memory_bytes += 24 * gib;
    say("24 GiB more on each GPU", search(other, {best.candidate.numa}).plan);
    return lines;
  }

  /// The same plan on a machine that is faster or slower.
  static Plan with_speeds(Plan plan, const hw::Machine& machine) {
    plan.machine = machine;
    plan.predicted_prefill.clear();
    predict(plan);
    return plan;
  }

  std::optional<Plan> with_experts(const Trial& best, int experts) const {
    if (experts_ == nullptr || model_.info.experts_per_token <= experts) return std::nullopt;
    return make_plan(parse_rules(base::parse_yaml(best.text, "suggested"), "suggested"), model_,
                     machine_, {.experts_per_token = experts, .run_memory = options_.run_memory});
  }

  const graph::Model& model_;
  hw::Machine machine_;
  SuggestOptions options_;
  const GoalInfo& goal_;
  const graph::Module* experts_ = nullptr;  // the last layer's; null: it has none
  const graph::Module* linear_ = nullptr;   // the first one
};

}  // namespace

std::optional<Goal> find_goal(std::string_view name) {
  const auto* found = std::ranges::find(goals, name, &GoalInfo::name);
  return found == std::end(goals) ? std::nullopt : std::optional(found->goal);
}

std::string suggest_rules(const graph::Model& model, const hw::Machine& machine,
                          const SuggestOptions& options) {
  return Search(model, machine, options).run();
}

}  // namespace ktx::placement
