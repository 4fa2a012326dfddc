// Planning: from a checkpoint's header, a machine and a rules file to the plan of every module.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace ktx {

namespace placement {
struct Plan;
}
namespace loader {
class TensorSource;
}

struct PlanOptions {
  std::filesystem::path model;  // a .gguf, the first file of a split, or a Hugging Face directory
  std::filesystem::path rules;  // a rules file
  /// A machine description in YAML; empty: this box.
  std::filesystem::path machine;
  /// Overrides the rules file's and the checkpoint's number of experts a token.
  std::optional<int> experts_per_token;
  /// CPU workers; 0: one a physical core.
  int threads = 0;
  /// Tokens that a session can hold; 0: the model's context, at most 4096.
  int64_t cache_length = 0;
  /// Tokens of a prompt that run at once; 0: at most 512. With more, each expert gets more tokens
  /// for the work of reading it, and activations take more memory.
  int64_t prefill_chunk = 0;
  /// Only the header is there or wanted: weights may be missing.
  bool header_only = false;
  /// Measure the memory bandwidth of this box (0.2 s), so that the plan can predict tokens/s.
  bool measure = false;
};

/// An immutable plan. Cheap to copy.
class Plan {
 public:
  Plan(std::shared_ptr<const placement::Plan> plan,
       std::shared_ptr<const loader::TensorSource> source, PlanOptions options);

  /// The plan as a table for people, lines ended by '\n'.
  std::string text() const;
  /// The same as one JSON object.
  std::string json() const;

  /// Bytes of weights that decoding one token reads.
  uint64_t bytes_per_token() const noexcept;
  /// Weights that a token of a prompt is multiplied by: of the routed experts those it runs
  /// through; not the head, which only the last token needs.
  double weights_per_token() const;
  /// Bytes/s of the machine's memory, all CPUs together; 0: not measured, nor in its file.
  double read_bandwidth() const noexcept;

  const PlanOptions& options() const noexcept { return options_; }
  const placement::Plan& details() const noexcept { return *plan_; }
  /// The opened checkpoint: loading goes on where planning stopped.
  const std::shared_ptr<const loader::TensorSource>& source() const noexcept { return source_; }

 private:
  std::shared_ptr<const placement::Plan> plan_;
  std::shared_ptr<const loader::TensorSource> source_;
  PlanOptions options_;
};

/// Matches the rules against the model's modules and checks the result.
/// Throws ktx::Error: input for anything wrong in the files, environment when the box lacks
/// something.
Plan make_plan(const PlanOptions& options);

/// The reference of all keywords of a rules file, from the table that the parser uses.
std::string rules_reference();

}  // namespace ktx
