// Planning: from a checkpoint's header, a machine and a rules file to the plan of every module.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ktx {

namespace engine {
struct Access;
}
namespace placement {
struct Plan;
struct Rules;
}  // namespace placement
namespace loader {
class TensorSource;
}
class Tokenizer;

/// What is given here stands above the rules file; what neither gives is a default.
struct PlanOptions {
  /// A .gguf, the first file of a split, or a Hugging Face directory; empty: as the rules file
  /// says.
  std::filesystem::path model;
  std::filesystem::path rules;  // a rules file
  /// A machine description in YAML; empty: this box. If it describes this box (as many nodes, cores
  /// and GPUs of those names), its figures of speed are taken, and all else as it is found.
  std::filesystem::path machine;
  /// Experts a token in every layer, where its request does not say otherwise.
  std::optional<int> experts_per_token;
  /// The most experts a token that a request may ask for, where it is more than the checkpoint and
  /// the rules file have.
  std::optional<int> max_experts;
  /// CPU workers; 0: not given, by default one a physical core.
  int threads = 0;
  /// Of them in decode steps; 0: not given, by default `threads` if those are given, else what is
  /// fastest, measured while loading.
  int decode_threads = 0;
  /// Tokens that a session can hold; 0: not given, by default the model's context, at most 4096.
  int64_t cache_length = 0;
  /// Tokens of a prompt that run at once; 0: not given, by default 2048. With more, each expert
  /// gets more tokens for the work of reading it, and activations take more memory.
  int64_t prefill_chunk = 0;
  /// Sessions that can run at once; 0: not given, by default 1.
  int sessions = 0;
  /// How the KV cache stores its numbers: "f32", "bf16", "fp8"; empty: not given, by default bf16.
  std::string cache_format;
  /// Whether the same request always gives the same text, whatever runs beside it; by default not.
  std::optional<bool> deterministic;
  /// A .gguf or a directory with a tokenizer.json; empty: not given, by default the model's own.
  std::filesystem::path tokenizer;
  /// A directory that keeps packed weights: what another start packed in the same way from the same
  /// content is mapped instead of read. Empty: not given, by default none. ktx never deletes
  /// entries; you may at any time.
  std::filesystem::path weights_cache;
  /// Tensors and hyper-parameters that ktx has no use for are warnings, not errors: the model runs
  /// without them, which changes its answers.
  bool ignore_unused = false;
  /// KEY=VALUE: members of config.json ("rope_scaling.factor=40"), or keys of the GGUF metadata,
  /// instead of the checkpoint's.
  std::vector<std::string> overrides = {};
  /// Only the header is there or wanted: weights may be missing.
  bool header_only = false;
  /// Measure the memory bandwidth of this box (0.2 s), so that the plan can predict tokens/s.
  bool measure = false;
};

/// How the model's makers sample, as far as the checkpoint says it.
struct SamplingDefaults {
  std::optional<float> temperature, top_p, min_p, repetition_penalty, frequency_penalty,
      presence_penalty;
  std::optional<int> top_k;
};

/// An immutable plan. Cheap to copy.
class Plan {
 public:
  /// The plan as a table for people, lines ended by '\n'.
  std::string text() const;
  /// The same as one JSON object.
  std::string json() const;
  /// The same as one HTML page that loads nothing: modules and devices, memory, the predicted
  /// course of a token and of a slice of a prompt.
  std::string html() const;
  /// How the module of that path came to its place, as text. Throws input error when there is none.
  std::string why(const std::string& module) const;
  /// What differs if another rules file places the model on the same machine, as text; this plan is
  /// A, the other one B. Where the options gave no model, a model that the file names is B's: it
  /// must have the same modules. Throws what make_plan() throws.
  std::string diff(const std::filesystem::path& rules) const;
  /// What runs but is probably not meant, one line each: "file:line: what [check]".
  std::vector<std::string> lint() const;

  /// What whoever runs the plan should know first, one line each: "SLOW: ..." and by what factor.
  std::vector<std::string> warnings() const;

  /// Tokens that a session can hold.
  int64_t cache_length() const noexcept;
  /// Sessions that run at once.
  int sessions() const noexcept;
  /// Tokens of a prompt that run at once, and the layers that they run through.
  int64_t prefill_chunk() const noexcept;
  int layers() const noexcept;
  /// The tokenizer that the options or the rules file name, else the model's own. Throws input
  /// error when there is none that ktx can read.
  Tokenizer tokenizer() const;
  SamplingDefaults sampling_defaults() const;
  /// A directory that keeps packed weights; empty: none.
  std::filesystem::path weights_cache() const;

  /// Bytes of weights that decoding one token reads.
  uint64_t bytes_per_token() const noexcept;
  /// Weights that a token of a prompt is multiplied by: of the routed experts those it runs
  /// through; not the head, which only the last token needs.
  double weights_per_token() const;
  /// Tokens/s that the machine's figures predict, 0: they are not known. Of decoding behind `past`
  /// tokens; of reading a prompt of `tokens`.
  double predicted_decode(int64_t past) const;
  double predicted_prefill(int64_t tokens) const;
  /// Bytes/s of the machine's memory, all CPUs together; 0: not measured, nor in its file.
  double read_bandwidth() const noexcept;

  /// As given to make_plan().
  const PlanOptions& options() const noexcept { return options_; }

 private:
  friend engine::Access;
  friend Plan make_plan(const PlanOptions& options);
  Plan(std::shared_ptr<const placement::Plan> plan, std::shared_ptr<const placement::Rules> rules,
       std::shared_ptr<const loader::TensorSource> source, PlanOptions options);

  std::shared_ptr<const placement::Plan> plan_;
  std::shared_ptr<const placement::Rules> rules_;
  std::shared_ptr<const loader::TensorSource> source_;
  PlanOptions options_;
  struct OpenedTokenizer;
  std::shared_ptr<OpenedTokenizer> tokenizer_;  // of all copies
};

/// Matches the rules against the model's modules and checks the result.
/// Throws ktx::Error: input for anything wrong in the files, environment when the box lacks
/// something.
Plan make_plan(const PlanOptions& options);

/// What ktx-plan suggest is asked for.
struct SuggestOptions {
  std::filesystem::path model;    // as PlanOptions::model
  std::filesystem::path machine;  // a machine description in YAML; empty: this box, measured
  int64_t context = 8192;         // tokens a session can hold
  int sessions = 1;               // at once
  std::string goal = "balanced";  // "decode", "prefill" or "balanced"
  std::string vram;               // of each GPU to use at most, "14GiB"; empty: all
};

/// The text of a commented rules file for the model on the machine. Throws ktx::Error: input for
/// anything wrong in the files and for an unknown goal, environment when the model does not fit.
std::string suggest_rules(const SuggestOptions& options);

/// The reference of all keywords of a rules file, from the table that the parser uses.
std::string rules_reference();

/// The JSON Schema (draft 7) of a rules file, from the same table: with it editors complete and
/// check rules files.
std::string rules_schema();

}  // namespace ktx
