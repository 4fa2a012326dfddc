// Planning: a checkpoint's header, a machine and a rules file become a plan for every module.
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

/// Options given here override the rules file; what neither sets has a default.
struct PlanOptions {
  /// A .gguf, the first file of a split, a Hugging Face directory, or a synthetic model such as
  /// "synth:deepseek-v3,mix=q4_k_m"; empty: the rules file's.
  std::filesystem::path model;
  std::filesystem::path rules;  // the rules file; required
  /// A machine description in YAML; empty: this machine. If it describes this machine (same numbers
  /// of nodes and cores, same GPUs), only its speeds are used; everything else is detected.
  std::filesystem::path machine;
  /// Routed experts per token in every layer, unless a request says otherwise.
  std::optional<int> experts_per_token;
  /// The most experts per token that a request may ask for, if more than the checkpoint and the
  /// rules file have.
  std::optional<int> max_experts;
  /// CPU threads; 0: not given, by default one per physical core.
  int threads = 0;
  /// CPU threads of decode steps; 0: not given, by default `threads` if given, else the fastest
  /// number, measured while loading.
  int decode_threads = 0;
  /// Tokens that a session can hold; 0: not given, by default the model's context, at most 4096.
  int64_t cache_length = 0;
  /// Tokens of a prompt that run at once (a slice); 0: not given, by default 2048. Larger slices
  /// read each expert for more tokens at a time, but need more memory for activations.
  int64_t prefill_chunk = 0;
  /// Sessions that can run at once; 0: not given, by default 1.
  int sessions = 0;
  /// Format of the KV cache: "f32", "bf16" or "fp8"; empty: not given, by default bf16.
  std::string cache_format;
  /// Whether a request always gives the same text, whatever runs beside it; by default it need not.
  std::optional<bool> deterministic;
  /// A .gguf, tokenizer.json or tiktoken.model, or a directory with one of the last two; empty: not
  /// given, by default the model's own.
  std::filesystem::path tokenizer;
  /// A directory for packed weights: what an earlier start packed in the same way from the same
  /// content is mapped instead of read and packed again. Empty: not given, by default none. ktx
  /// never deletes entries; you may at any time.
  std::filesystem::path weights_cache;
  /// Tensors and hyper-parameters that ktx does not support become warnings instead of errors: the
  /// model runs without them, which changes its answers.
  bool ignore_unused = false;
  /// KEY=VALUE: replaces a member of config.json ("rope_scaling.factor=40") or a key of the GGUF
  /// metadata.
  std::vector<std::string> overrides = {};
  /// Read the checkpoint's header only: the weights may be missing.
  bool header_only = false;
  /// Measure the memory bandwidth of this machine (0.2 s), so that the plan can predict tokens/s.
  bool measure = false;
};

/// The sampling that the model's authors recommend, as far as the checkpoint states it.
struct SamplingDefaults {
  std::optional<float> temperature, top_p, min_p, repetition_penalty, frequency_penalty,
      presence_penalty;
  std::optional<int> top_k;
};

/// An immutable plan, cheap to copy.
class Plan {
 public:
  /// The plan as tables for people; every line ends in '\n'.
  std::string text() const;
  /// The plan as one JSON object.
  std::string json() const;
  /// The plan as one self-contained HTML page: modules and devices, memory, the predicted timeline
  /// of a token and of a slice of a prompt.
  std::string html() const;
  /// Explains, as text, how the module with that path came to its place. Throws ktx::Error: input
  /// when there is no such module.
  std::string why(const std::string& module) const;
  /// What another rules file would change on the same machine, as text; this plan is A, the other
  /// one B. If PlanOptions::model is empty and the other file names a model, B uses that model,
  /// which must have the same modules. Throws what make_plan() throws.
  std::string diff(const std::filesystem::path& rules) const;
  /// What runs but is probably not intended, one line each: "file:line: what [check]".
  std::vector<std::string> lint() const;

  /// What to tell users before running the plan, one line each: "SLOW: ...", and by what factor.
  std::vector<std::string> warnings() const;

  /// Tokens that a session can hold.
  int64_t cache_length() const noexcept;
  /// Sessions that run at once.
  int sessions() const noexcept;
  /// Tokens of a prompt that run at once.
  int64_t prefill_chunk() const noexcept;
  /// Layers of the model.
  int layers() const noexcept;
  /// The tokenizer that the options or the rules file name, else the model's own. Throws
  /// ktx::Error: input when there is none that ktx can read.
  Tokenizer tokenizer() const;
  SamplingDefaults sampling_defaults() const;
  /// The directory for packed weights; empty: none.
  std::filesystem::path weights_cache() const;

  /// Bytes of weights that decoding one token reads.
  uint64_t bytes_per_token() const noexcept;
  /// Number of weights that a prompt token is multiplied by: includes only the routed experts that
  /// it runs through, and not the head, which only the last token needs.
  double weights_per_token() const;
  /// Predicted tokens/s, of decoding after `past` tokens and of processing a prompt of `tokens`; 0:
  /// the machine's speeds are not known.
  double predicted_decode(int64_t past) const;
  double predicted_prefill(int64_t tokens) const;
  /// Memory read bandwidth of the whole machine in bytes/s; 0: neither measured nor described.
  double read_bandwidth() const noexcept;

  /// The options given to make_plan().
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
  std::shared_ptr<OpenedTokenizer> tokenizer_;  // shared by all copies
};

/// Matches the rules against the model's modules and checks the result. Throws ktx::Error: input
/// for anything wrong in the files or options, environment when the machine lacks something.
Plan make_plan(const PlanOptions& options);

struct SuggestOptions {
  std::filesystem::path model;    // as PlanOptions::model
  std::filesystem::path machine;  // a machine description in YAML; empty: this machine, measured
  int64_t context = 8192;         // tokens that a session can hold
  int sessions = 1;               // that can run at once
  std::string goal = "balanced";  // what to make fast: "decode", "prefill" or "balanced"
  std::string vram;               // the most to use of each GPU, e.g. "14GiB"; empty: all of it
};

/// The text of a rules file, with comments, that is predicted to be the fastest for the model on
/// the machine. Throws ktx::Error: input for anything wrong in the files and for an unknown goal,
/// environment when the model does not fit.
std::string suggest_rules(const SuggestOptions& options);

/// A reference of all keywords of rules files, as text.
std::string rules_reference();

/// The JSON Schema (draft 7) of rules files, with which editors complete and check them.
std::string rules_schema();

}  // namespace ktx
