// The placement of a model on a machine that is predicted to be fastest, among those that fit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "placement/candidate.hpp"
#include "placement/plan.hpp"
#include "placement/suggest.hpp"

namespace ktx::placement {

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

/// A candidate, written as a rules file and planned as any other.
struct Trial {
  Candidate candidate;
  std::string text;  // the rules
  std::optional<Plan> plan;
  double seconds = 0;       // of what the goal stands for
  std::string refusal;      // why there is no plan
  std::string unsupported;  // what a kernel says that can't run a module
};

class Search {
 public:
  /// Refers to the model. Throws input error when the machine's figures do not suffice to compare.
  Search(const graph::Model& model, const hw::Machine& machine, const SuggestOptions& options);

  /// Without a plan: nothing fits.
  Trial best() const { return best(machine_, numa_policies()); }
  /// On a machine that differs from the search's only in how much it has of what.
  Trial best(const hw::Machine& machine, const std::vector<std::string>& policies) const;
  /// The trial whose plan needs the least CPU memory, on a machine with any amount of it; none: no
  /// plan is possible.
  Trial smallest() const;
  Trial attempt(const Candidate& candidate, const hw::Machine& machine) const;

  const GoalInfo& goal() const noexcept { return goal_; }
  // Tokens of the request that is compared: as the goal says, scaled down for a shorter context.
  int64_t prompt() const;
  int64_t answer() const;
  /// Of a prompt and its answer; infinite: not known.
  double seconds(const Plan& plan) const;

  const graph::Model& model() const noexcept { return model_; }
  /// With the GPU memory that may be used.
  const hw::Machine& machine() const noexcept { return machine_; }
  /// With a context that the model was trained for.
  const SuggestOptions& options() const noexcept { return options_; }
  /// Numbers of the GPUs that kernels run on, the strongest first.
  const std::vector<size_t>& gpus() const noexcept { return gpus_; }
  /// Whether the checkpoint's experts, in a model without them its linear layers, are quantized.
  bool is_quantized() const;

 private:
  quant::Format source() const;
  std::vector<Experts> placements() const;
  std::vector<std::string> formats() const;
  std::vector<std::string> numa_policies() const;
  bool has_more_alike(size_t count) const;
  std::vector<std::vector<size_t>> gpu_sets(Experts experts) const;
  std::vector<Candidate> candidates(const Candidate& like,
                                    const std::vector<std::string>& policies) const;
  Trial best_slices(const Candidate& like, const std::vector<std::string>& policies,
                    const hw::Machine& machine) const;
  std::string why_not_worth_it(const Candidate& candidate, const Plan& plan,
                               const hw::Machine& machine) const;

  const graph::Model& model_;
  hw::Machine machine_;
  SuggestOptions options_;
  GoalInfo goal_;
  std::vector<size_t> gpus_;
};

/// Of the experts of a layer that streams them, on average.
double stream_share(const Plan& plan);

}  // namespace ktx::placement
