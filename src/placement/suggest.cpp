// Suggestions: the rules file that a search finds, with comments that say why.
#include "placement/suggest.hpp"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "placement/apply.hpp"
#include "placement/device_memory.hpp"
#include "placement/place_module.hpp"
#include "placement/prediction.hpp"
#include "placement/rules.hpp"
#include "placement/search.hpp"

namespace ktx::placement {

namespace {

constexpr uint64_t gib = uint64_t{1} << 30;

/// The comments on the best placement that a search finds.
class Suggestion {
 public:
  explicit Suggestion(const Search& search)
      : search_(search),
        model_(search.model()),
        machine_(search.machine()),
        experts_(routed_experts(model_)) {}

  std::string text() const {
    const Trial best = search_.best();
    if (!best.plan) refuse(best);
    return header(best) + with_needs(best);
  }

 private:
  [[noreturn]] void refuse(const Trial& refused) const {
    const uint64_t has = machine_.memory_bytes();
    throw_environment("no placement of this model fits the machine", machine_.name,
                      {what_it_needs(refused),
                       "the machine has " + base::format_bytes(has) + " of memory, of which " +
                           base::format_bytes(kept_free("cpu", has)) + " should stay free",
                       "a checkpoint with fewer bits per weight needs less"});
  }

  std::string what_it_needs(const Trial& refused) const {
    const Trial least = search_.smallest();
    if (!least.plan) return refused.refusal;
    const auto formats = formats_text(least.candidate);
    return where_it_is(least.candidate) + " " + (formats.empty() ? "" : formats + " ") +
           memory_text(*least.plan);
  }

  /// The rules, with a `machine:` key of what their plan needs.
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

  /// Rounded up, but to no more than the machine has.
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
    std::vector<std::string> lines = {
        model_name() + " on " + machine_.name + ", for " + std::string(search_.goal().name) +
            " use: prompts of " + std::to_string(search_.prompt()) + " tokens, answers of " +
            std::to_string(search_.answer()) + ".",
        "", where_it_is(best.candidate)};
    if (const auto text = formats_text(best.candidate); !text.empty()) lines.push_back(text);
    if (const auto why = why_not_on_gpu(best); !why.empty())
      lines.push_back("A GPU can't run all of it: " + why + ".");
    std::ranges::copy(unused_gpus(best.candidate), std::back_inserter(lines));
    lines.insert(lines.end(), {memory_text(plan), ""});
    lines.push_back("Predicted: decoding " + base::format_number(plan.predicted_decode) +
                    " tokens/s behind " + std::to_string(plan.predicted_depth) + " tokens" +
                    prompts_text(plan) + ".");
    if (search_.options().context == model_.info.context)
      lines.push_back("Context: " + std::to_string(search_.options().context) +
                      " tokens, the model was trained for no more.");
    if (const double share = stream_share(plan); share > 0)
      lines.push_back(base::format_number(100 * share) +
                      " % of a layer's experts on the CPU pass through a GPU in slices of " +
                      std::to_string(plan.prefill_chunk) + ".");
    const auto faster = what_is_faster(best);
    if (!faster.empty()) {
      lines.insert(lines.end(), {"", "Faster would be:"});
      lines.insert(lines.end(), faster.begin(), faster.end());
    }
    return comment(lines);
  }

  std::string where_it_is(const Candidate& c) const {
    const auto gpus = gpus_text(c);
    const std::string rest = "; attention and everything else dense on " + gpus + ".";
    const auto refusal = embedding_refusal(model_);
    switch (c.experts) {
      case Experts::cpu:
        return "Everything on the CPU.";
      case Experts::gpu:
        return refusal.empty() ? "Everything on " + gpus + "."
                               : "Everything but the embedding on " + gpus + ": embedding.cuda " +
                                     refusal + ".";
      case Experts::hybrid:
        return "Routed experts on the CPU" + rest;
      case Experts::streamed:
        return "Routed experts on the CPU, in prompts with the help of " + gpus + rest;
      case Experts::resident:
      case Experts::resident_streamed:
        return "Routed experts on the CPU, as many as fit on " + gpus + rest;
    }
    return {};
  }

  std::string gpus_text(const Candidate& c) const {
    const size_t all = machine_.gpus.size();
    if (c.gpus.size() < all) return std::to_string(c.gpus.size()) + " of the GPUs";
    return all > 1 ? "the GPUs" : "the GPU";
  }

  /// The GPUs that are not used, grouped by the reason.
  std::vector<std::string> unused_gpus(const Candidate& c) const {
    std::vector<std::string> lines, others;
    for (size_t i = 0; i < machine_.gpus.size(); ++i) {
      if (std::ranges::find(c.gpus, i) != c.gpus.end()) continue;
      const auto& gpu = machine_.gpus[i];
      const auto device = "cuda:" + std::to_string(i), reason = capability_refusal(gpu);
      if (reason.empty())
        others.push_back(device);
      else
        lines.push_back("Unused: " + device + ", the " + gpu.name + " " + reason + ".");
    }
    if (!others.empty())
      lines.push_back("Unused: " + base::join(others) + ", nothing that fits is faster with " +
                      (others.size() > 1 ? "them." : "it."));
    return lines;
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

  /// Why GPUs can't run the whole model, other than for too little memory; empty: they can.
  std::string why_not_on_gpu(const Trial& best) const {
    if (search_.gpus().empty() || best.candidate.experts == Experts::gpu) return {};
    Candidate all = best.candidate;
    all.experts = Experts::gpu;
    all.gpus = search_.gpus();
    std::ranges::sort(all.gpus);
    return search_.attempt(all, machine_).unsupported;
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

  /// Changes of the machine or of quality that save at least a twentieth of the time.
  std::vector<std::string> what_is_faster(const Trial& best) const {
    std::vector<std::string> lines;
    const auto say = [&](const std::string& what, const std::optional<Plan>& plan) {
      if (!plan || search_.seconds(*plan) > 0.95 * best.seconds) return;
      lines.push_back("  " + what + ": decoding " + base::format_number(plan->predicted_decode) +
                      " tokens/s, " +
                      base::format_number(100 * (1 - search_.seconds(*plan) / best.seconds)) +
                      " % less time for a prompt and its answer");
    };
    say("6 experts a token (-k 6), at some loss", with_experts(best, 6));
    say("defer: 1 in the place of the routed experts, at a small loss", with_deferral(*best.plan));
    if (best.candidate.format != "keep" || !search_.is_quantized()) {
      Candidate smaller = best.candidate;
      (experts_ != nullptr ? smaller.format : smaller.dense) = "int4/64";
      if (best.candidate.format != smaller.format || best.candidate.dense != smaller.dense)
        say(std::string(experts_ != nullptr ? "experts" : "linear layers") +
                " in int4/64, at some loss",
            search_.attempt(smaller, machine_).plan);
    }
    auto other = machine_;
    other.read_bandwidth *= 1.5;
    other.read_while_copying *= 1.5;
    say("1.5 times the memory bandwidth", with_speeds(*best.plan, other));
    if (search_.gpus().empty()) return lines;
    other = machine_;
    for (auto& gpu : other.gpus) gpu.copy_bandwidth *= 2, gpu.copy_while_reading *= 2;
    say("twice the bandwidth to the GPU", with_speeds(*best.plan, other));
    other = machine_;
    for (auto& gpu : other.gpus) gpu.memory_bytes += 24 * gib;
    say("24 GiB more on each GPU", search_.best(other, {best.candidate.numa}).plan);
    return lines;
  }

  /// The same plan on a machine that is faster or slower.
  static Plan with_speeds(Plan plan, const hw::Machine& machine) {
    plan.machine = machine;
    plan.predicted_prefill.clear();
    predict(plan);
    return plan;
  }

  /// The same plan with an expert of each layer on the CPU deferred. Of fewer than four that a
  /// token has, one has too much weight.
  std::optional<Plan> with_deferral(Plan plan) const {
    if (model_.info.experts_per_token < 4) return std::nullopt;
    for (auto& planned : plan.modules)
      if (plan.module_of(planned).op == "moe" && planned.device == "cpu") planned.deferred = 1;
    defer_none_at_last(plan);
    plan.predicted_prefill.clear();
    predict(plan);
    return plan;
  }

  std::optional<Plan> with_experts(const Trial& best, int experts) const {
    if (experts_ == nullptr || model_.info.experts_per_token <= experts) return std::nullopt;
    return make_plan(parse_rules(base::parse_yaml(best.text, "suggested"), "suggested"), model_,
                     machine_,
                     {.experts_per_token = experts, .run_memory = search_.options().run_memory});
  }

  const Search& search_;
  const graph::Model& model_;
  const hw::Machine& machine_;
  const graph::Module* experts_;  // null: it has none
};

}  // namespace

std::optional<Goal> find_goal(std::string_view name) {
  const auto* found = std::ranges::find(goals, name, &GoalInfo::name);
  return found == std::end(goals) ? std::nullopt : std::optional(found->goal);
}

std::string suggest_rules(const graph::Model& model, const hw::Machine& machine,
                          const SuggestOptions& options) {
  return Suggestion(Search(model, machine, options)).text();
}

}  // namespace ktx::placement
