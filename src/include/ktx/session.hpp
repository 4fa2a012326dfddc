// A session is one conversation: token ids in, token ids out.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ktx/engine.hpp"

namespace ktx {

/// Added to the logit of a token; -inf: it is never chosen.
struct LogitBias {
  int32_t id = 0;
  float bias = 0;
};

/// How the next token is chosen. Temperature 0 takes the most probable one (greedy).
struct Sampling {
  float temperature = 0;
  int top_k = 0;                 // keep the k most probable; 0: all
  float top_p = 1;               // keep the fewest with at least this probability together
  float min_p = 0;               // drop those below min_p times the best probability
  float repetition_penalty = 1;  // divides positive and multiplies negative logits of seen tokens;
                                 // 1: off
  int repetition_window = 64;    // the last tokens that count as seen
  // Of tokens that this generation has given, as OpenAI's: logit - count * frequency - presence.
  float frequency_penalty = 0;
  float presence_penalty = 0;
  std::vector<LogitBias> logit_bias;  // before all penalties; of one id several add up
  uint64_t seed = 0;
};

struct GenerateOptions {
  int64_t max_new_tokens = 256;  // negative: no limit
  Sampling sampling;
  std::vector<int32_t> stop_ids;  // sampling one of these ends the generation; it is not returned
  /// Routed experts per token, 1 to Engine::max_experts_per_token(); 0: what the plan says for each
  /// layer.
  int experts_per_token = 0;
};

enum class StopReason { max_new_tokens, stop_id, stop_string, cache_full, cancelled };

struct Generation {
  std::vector<int32_t> ids;  // the new tokens
  StopReason reason = StopReason::max_new_tokens;
  int64_t prefill_tokens = 0;  // of the prompt
  int64_t decode_tokens = 0;   // decode steps of this session
  double prefill_seconds = 0, decode_seconds = 0;
};

struct EvaluateOptions {
  /// Run each token in a decode step of its own, as if it had been generated: with the kernels,
  /// devices and deferred experts of decoding.
  bool as_decoded = false;
};

/// Sessions of one engine may run on different threads, each session on one thread at a time. Up to
/// PlanOptions::sessions requests run at once and share every pass over the weights; further ones
/// wait their turn. A session keeps its pages of the KV cache until it is rewound or destroyed; a
/// request that does not fit is refused if no running request will free the pages it needs.
///
/// A callback may call position(), tokens() and cancel() on the session that runs it; any other
/// call on that session throws an input error. In on_rows, so does any call that would wait for the
/// engine (generate and evaluate of any session, Engine::decoded_experts).
class Session {
 public:
  explicit Session(Engine& engine);
  ~Session();
  Session(Session&&) noexcept;

  /// Runs the prompt, which continues what the session holds, then samples until something stops
  /// it. on_token is called on this thread with every new token while the next one is computed;
  /// returning false cancels. Throws ktx::Error: input when the prompt is empty, has unknown ids,
  /// or does not fit in the cache; environment when other sessions hold the pages it needs or a
  /// device fails.
  Generation generate(std::span<const int32_t> prompt, const GenerateOptions& options,
                      const std::function<bool(int32_t)>& on_token = {});

  /// The same with text: on_text is called with what each token completes, if anything, at the end
  /// with what `text` held back. A stop string of `text` ends the generation: the token that
  /// completes it is the last of the ids.
  Generation generate(std::span<const int32_t> prompt, const GenerateOptions& options,
                      TextStream& text,
                      const std::function<bool(const std::string&)>& on_text = {});

  /// Runs tokens and reports the logits after each. on_rows gets a block of a few rows at a time:
  /// logits [rows, Engine::vocab_size()], row-major, valid during the call; first_row is the index
  /// in `tokens` of the block's first row. It is called on the engine's thread and blocks all
  /// sessions. Returns false when cancelled. Throws what generate throws, and what on_rows throws.
  using OnRows = std::function<void(int64_t first_row, int64_t rows, const float* logits)>;
  bool evaluate(std::span<const int32_t> tokens, const OnRows& on_rows,
                const EvaluateOptions& options = {});

  /// Ends a running generate or evaluate before its next token, or, while the prompt runs, before
  /// its next layer (before its next slice, if other prompts share the slice). If none is running,
  /// the next one ends as soon as it begins. May be called from any thread and from a signal
  /// handler.
  void cancel() noexcept;

  /// The number of tokens in the KV cache, and their ids. To continue a conversation that was
  /// edited, rewind to the first difference. The last sampled token is not in the cache until it is
  /// passed in again with the next prompt. Within on_token, these are as if the answer ended with
  /// its token; within on_rows, as before evaluate. The span is valid until the session runs or is
  /// rewound.
  int64_t position() const noexcept;
  std::span<const int32_t> tokens() const noexcept;
  /// Drops all tokens from `position` on. Throws ktx::Error: input when there are fewer than that.
  void rewind(int64_t position);
  /// A new session that holds the first `position` tokens of this one. Both share their pages of
  /// the KV cache. Throws like rewind.
  Session fork(int64_t position) const;

 private:
  struct State;
  class Use;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ktx
