// A session: one conversation; tokens in, tokens out.
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

/// How the next token is chosen. temperature 0 takes the most probable one (greedy).
struct Sampling {
  float temperature = 0;
  int top_k = 0;                 // keep the k most probable; 0: all
  float top_p = 1;               // keep the smallest set with this probability
  float min_p = 0;               // drop those under min_p times the best
  float repetition_penalty = 1;  // divides positive, multiplies negative logits of seen tokens
  int repetition_window = 64;    // over this many last tokens
  // Of tokens that this generation has given, as OpenAI's: logit - count * frequency - presence.
  float frequency_penalty = 0;
  float presence_penalty = 0;
  std::vector<LogitBias> logit_bias;  // before all penalties; of one id several add up
  uint64_t seed = 0;
};

struct GenerateOptions {
  int64_t max_new_tokens = 256;  // negative: until something else stops it
  Sampling sampling;
  std::vector<int32_t> stop_ids;  // generation ends when one is sampled; it is not given out
  /// Routed experts that each token runs through, 1 to Engine::max_experts_per_token(); 0: as the
  /// plan says for each layer.
  int experts_per_token = 0;
};

enum class StopReason { max_new_tokens, stop_id, stop_string, cache_full, cancelled };

struct Generation {
  std::vector<int32_t> ids;
  StopReason reason = StopReason::max_new_tokens;
  int64_t prefill_tokens = 0, decode_tokens = 0;  // decode: steps of one token
  double prefill_seconds = 0, decode_seconds = 0;
};

struct EvaluateOptions {
  /// Each token in a decode step of its own, as if it had been generated: with the kernels, devices
  /// and deferred experts of that phase.
  bool as_decoded = false;
};

/// Sessions of one engine may be used from several threads, one thread a session. As many as the
/// plan has (PlanOptions::sessions) run at once and share every pass over the weights; those beyond
/// wait their turn. A session keeps the cache's pages that its tokens take until it is rewound or
/// destroyed; a request that would have to wait for pages that no running one holds is refused.
///
/// A callback may call position(), tokens() and cancel() of the session that runs it; what else it
/// asks of that session throws input error, and so does what would wait for the engine (any
/// session's generate and evaluate, Engine::decoded_experts) in on_rows.
class Session {
 public:
  explicit Session(Engine& engine);
  ~Session();
  Session(Session&&) noexcept;

  /// Runs the prompt, then samples until something stops it. on_token is called with every token,
  /// on this thread, while the next one is being computed; false cancels. Throws input error when
  /// the prompt is empty, has unknown ids, or does not fit the cache, environment when other
  /// sessions have taken the cache's pages.
  Generation generate(std::span<const int32_t> prompt, const GenerateOptions& options,
                      const std::function<bool(int32_t)>& on_token = {});

  /// The same with text: on_text is called with what each token completes, if anything, at the end
  /// with what `text` held back. A stop string of `text` ends the generation: the token that
  /// completes it is the last of the ids.
  Generation generate(std::span<const int32_t> prompt, const GenerateOptions& options,
                      TextStream& text,
                      const std::function<bool(const std::string&)>& on_text = {});

  /// Runs tokens and gives the logits after each: rows of vocab_size() floats, in blocks of a few
  /// rows. on_rows(first_row, rows, logits) is called on the engine's thread, for which all
  /// sessions wait: it must not run one. False when cancelled. Throws like generate, and what
  /// on_rows throws.
  using OnRows = std::function<void(int64_t first_row, int64_t rows, const float* logits)>;
  bool evaluate(std::span<const int32_t> tokens, const OnRows& on_rows,
                const EvaluateOptions& options = {});

  /// Ends a running generate or evaluate before its next token, or the next layer of its prompt
  /// (the next slice of it, where prompts of others are in the same slice); when none runs, the
  /// next one as soon as it begins. May be called from any thread and from a signal handler.
  void cancel() noexcept;

  /// Tokens in the cache, and their ids: a caller that continues a conversation rewinds to where
  /// the new one differs. The last sampled token is not among them until it is given back. In
  /// on_token they are as if the answer ended with its token; in on_rows, as before evaluate. The
  /// span is valid until the session runs again or is rewound.
  int64_t position() const noexcept;
  std::span<const int32_t> tokens() const noexcept;
  /// Forgets all tokens from `position` on. Throws input error when there are not so many.
  void rewind(int64_t position);
  /// A session that begins with the first `position` tokens of this one, whose memory both share
  /// until one of them goes on. Throws like rewind.
  Session fork(int64_t position) const;

 private:
  struct State;
  class Use;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ktx
