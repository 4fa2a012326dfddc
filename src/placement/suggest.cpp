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

/// Not more than so many bytes.
std::string size_text(uint64_t bytes) {
  constexpr uint64_t mib = uint64_t{1} << 20;
  return bytes >= 4 * gib ? std::to_string(bytes / gib) + "GiB"
                          : std::to_string(bytes / mib) + "MiB";
}

/// In YAML's single quotes.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
  return out + "'";
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
    Trial best = search(machine_, numa_policies());
    if (!best.plan)
      throw_environment(
          "no placement of this model fits the machine", machine_.name,
          {what_it_needs(best),
           "the machine has " + base::format_bytes(machine_.memory_bytes()) + " of memory",
           "a checkpoint of fewer bits a weight needs less"});
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

  /// The placements in a format, with each policy for those that have experts on the CPU.
  std::vector<Candidate> candidates(const std::string& format,
                                    const std::vector<std::string>& policies) const {
    std::vector<Candidate> out;
    for (const Experts experts : placements())
      for (const auto& numa : policies)
        if (experts != Experts::gpu || numa == policies.front())
          out.push_back({experts, format, numa});
    return out;
  }

  /// The best of the placements, with the best of the policies and slices.
  Trial search(const hw::Machine& machine, const std::vector<std::string>& policies) const {
    Trial best;
    for (const auto& format : formats()) {
      for (const auto& candidate : candidates(format, policies))
        keep_better(best, attempt(candidate, machine), worth_leaving);
      if (best.plan) break;
    }
    if (!best.plan) return best;
    for (const int64_t chunk : {512, 4096, 8192}) {
      if (chunk > options_.context) break;
      Candidate other = best.candidate;
      other.chunk = chunk;
      keep_better(best, attempt(other, machine), chunk > best.candidate.chunk ? ties : no_ties);
    }
    return best;
  }

  // What a later trial may take of the best one's time to replace it. Simpler placements come
  // first: predictions are too rough to leave them for a few percent. Larger slices win ties, for
  // they serve longer prompts too.
  static constexpr double worth_leaving = 0.97, no_ties = 0.999, ties = 1.001;

  static void keep_better(Trial& best, Trial&& trial, double most) {
    const bool better = trial.plan && (!best.plan || trial.seconds < most * best.seconds);
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
    std::string text = "ktx: 1\nmodel: {path: " + quoted(options_.model) +
                       "}\ncontext: " + std::to_string(options_.context) + "\n";
    if (options_.sessions > 1) text += "sessions: " + std::to_string(options_.sessions) + "\n";
    text += "prefill_chunk: " + std::to_string(c.chunk) + "\nrules:\n";
    const std::string numa = c.numa.empty() ? "" : ", numa: " + c.numa;
    const std::string format = c.format == "keep" ? "" : ", format: " + c.format;
    const bool hybrid = c.experts != Experts::cpu && c.experts != Experts::gpu;
    const size_t before = text.size();
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
    text += text.size() == before ? "  - name: everything\n" : "  - name: everything else\n";
    text += "    match: {name: '.*'}\n    place: {";
    text += c.experts == Experts::cpu ? "device: cpu" + numa : devices(machine);
    return text + "}\n";
  }

  std::string experts_rule(const Candidate& c, const hw::Machine& machine,
                           const std::string& format, const std::string& numa) const {
    const bool as_all = c.experts == Experts::gpu || c.experts == Experts::cpu;
    if (as_all && c.format == "keep") return {};
    std::string text = "  - name: routed experts\n    match: {class: moe.experts}\n    place:\n";
    if (c.experts == Experts::gpu) return text + "      {" + devices(machine) + format + "}\n";
    text += "      device: cpu\n";
    if (!format.empty()) text += "      format: " + c.format + "\n";
    if (!numa.empty()) text += "      numa: " + c.numa + "\n";
    if (c.experts == Experts::resident)
      text += "      experts: {vram: " + size_text(room_on_gpu(machine)) +
              "}         # what the GPU has left holds some, which run there\n";
    if (c.experts == Experts::resident || c.experts == Experts::streamed)
      text += "    prefill: {" + devices(machine) +
              ", stream: yes}   # prompts share them with the GPU\n";
    return text;
  }

  /// Of the smallest GPU's memory, but for what other programs may take.
  static uint64_t room_on_gpu(const hw::Machine& machine) {
    const uint64_t memory = std::ranges::min(machine.gpus, {}, &hw::Gpu::memory_bytes).memory_bytes;
    return memory - std::min(gib, memory / 8);
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
    for (const auto& candidate : candidates(formats().back(), numa_policies())) {
      Trial trial = attempt(candidate, roomy);
      if (trial.plan && (!least.plan || memory(*trial.plan) < memory(*least.plan)))
        least = std::move(trial);
    }
    if (!least.plan) return refused.refusal;
    return where_it_is(least.candidate) + " " + memory_text(*least.plan);
  }

  static uint64_t memory(const Plan& plan) { return plan.find_device("cpu")->most(); }

  /// The rules with what their plan needs of a machine, which is checked first.
  static std::string with_needs(const Trial& best) {
    uint64_t ram = 0, vram = 0;
    for (const auto& memory : best.plan->devices)
      (memory.device == "cpu" ? ram : vram) += memory.most();
    const auto rounded = [](uint64_t bytes) {
      return std::to_string((bytes + gib - 1) / gib) + "GiB";
    };
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
    lines.push_back("Predicted: decoding " + base::format_number(plan.predicted_decode) +
                    " tokens/s behind " + std::to_string(plan.predicted_depth) + " tokens" +
                    prompts_text(plan) + ".");
    if (const double share = stream_share(plan); share >= 0.001)
      lines.push_back("Of a layer's experts " + base::format_number(100 * share) +
                      " % pass through the GPU in slices of " + std::to_string(plan.prefill_chunk) +
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
