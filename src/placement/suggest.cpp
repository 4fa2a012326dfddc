// Suggestions: candidates are written as rules files and planned as any other.
#include "placement/suggest.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "placement/prediction.hpp"
#include "placement/rules.hpp"
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

/// Where the routed experts are.
enum class Experts : uint8_t {
  cpu,       // and everything else too
  hybrid,    // on the CPU, the rest on the GPUs
  streamed,  // so, but prompts share them with the GPUs
  resident,  // streamed, and some stay on the GPUs
  gpu        // all on the GPUs
};

struct Candidate {
  Experts experts = Experts::cpu;
  std::string format = "keep";  // of the experts
  std::string numa;             // of the experts; empty: one node
  int64_t chunk = 2048;
};

struct Trial {
  Candidate candidate;
  std::string text;  // the rules
  std::optional<Plan> plan;
  double seconds = 0;
  std::string refusal;  // why there is no plan
};

std::string size_text(uint64_t bytes) {
  return std::to_string(bytes / gib) + "GiB";
}

/// All that a search is about.
class Search {
 public:
  Search(const graph::Model& model, const hw::Machine& machine, const SuggestOptions& options)
      : model_(model), machine_(machine), options_(options), goal_(info(options.goal)) {
    if (options_.vram)
      for (auto& gpu : machine_.gpus) gpu.memory_bytes = std::min(gpu.memory_bytes, *options_.vram);
    for (const auto& module : model_.modules)
      if (module.op == "moe" && module.unused.empty()) experts_ = &module;
  }

  std::string run() {
    check_figures();
    Trial best = search(machine_);
    if (!best.plan)
      throw_environment("no placement of this model fits the machine", machine_.name,
                        {best.refusal, "a checkpoint of fewer bits a weight needs less"});
    return header(best) + with_needs(best);
  }

 private:
  // ---- candidates ----

  std::vector<Experts> placements() const {
    if (machine_.gpus.empty()) return {Experts::cpu};
    if (experts_ == nullptr) return {Experts::gpu, Experts::cpu};
    return {Experts::gpu, Experts::resident, Experts::streamed, Experts::hybrid, Experts::cpu};
  }

  bool is_quantized() const {
    if (experts_ == nullptr) return true;
    const auto format = experts_->weights.front().source;
    return format != quant::Format::f32 && format != quant::Format::f16 &&
           format != quant::Format::bf16 && format != quant::Format::fp8;
  }

  /// Those of most bits first: speed is not bought with quality where memory suffices.
  std::vector<std::string> formats() const {
    if (is_quantized()) return {"keep"};
    if (experts_->weights.front().source == quant::Format::fp8) return {"keep", "int4/64"};
    return {"int8", "int4/64"};
  }

  std::vector<std::string> numa_policies() const {
    if (machine_.nodes.size() < 2) return {""};
    return {"replicate", "shard", "interleave"};
  }

  /// The best of the placements, with the best of the policies and slices.
  Trial search(const hw::Machine& machine) const {
    Trial best;
    for (const auto& format : formats()) {
      for (const Experts experts : placements())
        for (const auto& numa : numa_policies())
          keep_better(best, attempt({experts, format, numa}, machine));
      if (best.plan) break;
    }
    if (!best.plan) return best;
    for (const int64_t chunk : {512, 4096, 8192}) {
      if (chunk > options_.context) break;
      Candidate other = best.candidate;
      other.chunk = chunk;
      keep_better(best, attempt(other, machine), chunk > best.candidate.chunk);
    }
    return best;
  }

  // A tenth of a percent is no reason to prefer what comes later, unless ties_win: larger slices
  // serve longer prompts too.
  static void keep_better(Trial& best, Trial&& trial, bool ties_win = false) {
    const double least = (ties_win ? 1.001 : 0.999) * best.seconds;
    const bool better = trial.plan && (!best.plan || trial.seconds < least);
    if (better || (!best.plan && best.refusal.empty())) best = std::move(trial);
  }

  Trial attempt(const Candidate& candidate, const hw::Machine& machine) const {
    Trial trial{.candidate = candidate, .text = rules_text(candidate, machine)};
    try {
      trial.plan = make_plan(parse_rules(base::parse_yaml(trial.text, "suggested"), "suggested"),
                             model_, machine, {.run_memory = options_.run_memory});
      trial.seconds = seconds(*trial.plan);
    } catch (const Error& error) {
      trial.refusal = error.what();
    }
    if (trial.plan && !std::isfinite(trial.seconds)) trial.plan.reset();
    return trial;
  }

  /// Of a prompt and its answer; infinite: not known.
  double seconds(const Plan& plan) const {
    const int64_t prompt = std::min(goal_.prompt, plan.cache_length / 2);
    return static_cast<double>(prompt) / prefill_rate(plan, prompt) +
           static_cast<double>(goal_.answer) / decode_rate(plan, prompt);
  }

  // ---- a candidate as a rules file ----

  static std::string devices(const hw::Machine& machine) {
    if (machine.gpus.size() == 1) return "device: 'cuda:0'";
    std::vector<std::string> names;
    for (size_t i = 0; i < machine.gpus.size(); ++i)
      names.push_back("'cuda:" + std::to_string(i) + "'");
    return "device: [" + base::join(names) + "], spread: layers";
  }

  std::string rules_text(const Candidate& c, const hw::Machine& machine) const {
    std::string text = "ktx: 1\nmodel: {path: '" + options_.model +
                       "'}\ncontext: " + std::to_string(options_.context) + "\n";
    if (options_.sessions > 1) text += "sessions: " + std::to_string(options_.sessions) + "\n";
    text += "prefill_chunk: " + std::to_string(c.chunk) + "\nrules:\n";
    const std::string numa = c.numa.empty() ? "" : ", numa: " + c.numa;
    const std::string format = c.format == "keep" ? "" : ", format: " + c.format;
    const bool hybrid = c.experts != Experts::cpu && c.experts != Experts::gpu;
    if (experts_ != nullptr) text += experts_rule(c, machine, format, numa);
    if (hybrid)
      text +=
          "  - name: embedding                     # a token reads one row of it\n"
          "    match: {class: embedding}\n"
          "    place: {device: cpu}\n";
    if (c.experts != Experts::cpu && machine.gpus.size() > 1)
      text +=
          "  - name: head                          # behind the last layer\n"
          "    match: {class: head}\n    place: {device: 'cuda:" +
          std::to_string(machine.gpus.size() - 1) + "'}\n";
    text += "  - name: everything else\n    match: {name: '.*'}\n    place: {";
    text += c.experts == Experts::cpu ? "device: cpu" + numa : devices(machine);
    return text + "}\n";
  }

  std::string experts_rule(const Candidate& c, const hw::Machine& machine,
                           const std::string& format, const std::string& numa) const {
    if (c.experts == Experts::gpu && c.format == "keep") return {};
    std::string text = "  - name: routed experts\n    match: {class: moe.experts}\n    place:\n";
    if (c.experts == Experts::gpu) return text + "      {" + devices(machine) + format + "}\n";
    text += "      device: cpu\n";
    if (!format.empty()) text += "      format: " + c.format + "\n";
    if (!numa.empty()) text += "      numa: " + c.numa + "\n";
    if (c.experts == Experts::resident)
      text += "      experts: {vram: " + size_text(least_memory(machine) - gib) +
              "}         # what the GPU has left holds some, which run there\n";
    if (c.experts == Experts::resident || c.experts == Experts::streamed)
      text += "    prefill: {" + devices(machine) +
              ", stream: yes}   # prompts share them with the GPU\n";
    return text;
  }

  static uint64_t least_memory(const hw::Machine& machine) {
    return std::ranges::min(machine.gpus, {}, &hw::Gpu::memory_bytes).memory_bytes;
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

  /// The rules with what their plan needs of a machine, which is checked first.
  static std::string with_needs(const Trial& best) {
    uint64_t ram = 0, vram = 0;
    for (const auto& memory : best.plan->devices)
      (memory.device == "cpu" ? ram : vram) += memory.most();
    const auto rounded = [](uint64_t bytes) { return size_text(bytes + gib - 1); };
    std::string text = best.text;
    text.insert(text.find("model:"), "machine: {ram: " + rounded(ram) +
                                         (vram > 0 ? ", vram: " + rounded(vram) : "") + "}\n");
    return text;
  }

  static std::string comment(const std::vector<std::string>& lines) {
    std::string text;
    for (const auto& line : lines) text += line.empty() ? "#\n" : "# " + line + "\n";
    return text;
  }

  std::string header(const Trial& best) const {
    const auto& plan = *best.plan;
    std::vector<std::string> lines = {model_.info.name + " on " + machine_.name + ", for " +
                                          std::string(goal_.name) + " use: prompts of " +
                                          std::to_string(goal_.prompt) + " tokens, answers of " +
                                          std::to_string(goal_.answer) + ".",
                                      "", where_it_is(best.candidate), memory_text(plan), ""};
    lines.push_back("Predicted: decoding " + base::format_number(decode_rate(plan, 1024)) +
                    " tokens/s behind 1024 tokens" + prompts_text(plan) + ".");
    if (plan.streams()) lines.push_back(streaming_text(plan));
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
        return "Everything on the " + gpus + ".";
      case Experts::hybrid:
        return "Routed experts on the CPU" + rest;
      case Experts::streamed:
        return "Routed experts on the CPU, in prompts with the help of the " + gpus + rest;
      case Experts::resident:
        return "Routed experts on the CPU, as many as fit on the " + gpus + rest;
    }
    return {};
  }

  static std::string memory_text(const Plan& plan) {
    std::vector<std::string> parts;
    for (const auto& memory : plan.devices)
      parts.push_back(base::format_bytes(memory.most()) +
                      (memory.device == "cpu" ? " of memory" : " of " + memory.device));
    std::string text = "Needs " + base::join(parts);
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

  static std::string streaming_text(const Plan& plan) {
    double sum = 0, count = 0;
    for (const auto& planned : plan.modules)
      if (planned.stream) sum += planned.stream_share, ++count;
    return "Of a layer's experts " + base::format_number(100 * sum / count) +
           " % pass through the GPU in slices of " + std::to_string(plan.prefill_chunk) + ".";
  }

  /// Changes of the machine or of quality that take at least a twentieth off.
  std::vector<std::string> what_is_faster(const Trial& best) const {
    std::vector<std::string> lines;
    const auto say = [&](const std::string& what, const std::optional<Plan>& plan) {
      if (!plan || seconds(*plan) > 0.95 * best.seconds) return;
      lines.push_back("  " + what + ": decoding " + base::format_number(decode_rate(*plan, 1024)) +
                      " tokens/s, " +
                      base::format_number(100 * (1 - seconds(*plan) / best.seconds)) +
                      " % less time for a prompt and its answer");
    };
    say("6 experts a token (-k 6)", with_experts(best, 6));
    if (best.candidate.format != "keep" || !is_quantized()) {
      Candidate smaller = best.candidate;
      smaller.format = "int4/64";
      if (best.candidate.format != smaller.format)
        say("experts in int4/64, at some loss", attempt(smaller, machine_).plan);
    }
    auto other = machine_;
    other.read_bandwidth *= 1.5;
    other.read_while_copying *= 1.5;
    say("half more memory bandwidth", attempt(best.candidate, other).plan);
    if (machine_.gpus.empty()) return lines;
    other = machine_;
    for (auto& gpu : other.gpus) gpu.copy_bandwidth *= 2, gpu.copy_while_reading *= 2;
    say("twice the bandwidth to the GPU", attempt(best.candidate, other).plan);
    other = machine_;
    for (auto& gpu : other.gpus) gpu.memory_bytes += 24 * gib;
    say("24 GiB more on each GPU", search(other).plan);
    return lines;
  }

  std::optional<Plan> with_experts(const Trial& best, int experts) const {
    if (model_.info.experts_per_token <= experts) return std::nullopt;
    return make_plan(parse_rules(base::parse_yaml(best.text, "suggested"), "suggested"), model_,
                     machine_, {.experts_per_token = experts, .run_memory = options_.run_memory});
  }

  const graph::Model& model_;
  hw::Machine machine_;
  const SuggestOptions& options_;
  const GoalInfo& goal_;
  const graph::Module* experts_ = nullptr;  // the last layer's
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
