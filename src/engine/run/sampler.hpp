// Chooses the next token from the logits.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "ktx/session.hpp"

namespace ktx::engine {

using SamplerOptions = ktx::Sampling;

/// Filters run in the order of Hugging Face's generate(): repetition penalty, temperature, top-k,
/// top-p (of what top-k kept), min-p. The best token always stays. Equal logits: the lower id
/// first.
///
/// Deterministic: std::mt19937_64 (which the standard fixes to the bit), one draw per sampled token
/// and none per greedy one, made a double by its upper 53 bits. Probabilities are computed in
/// double; platforms differ by the last bit of exp() at most.
///
/// NaN logits are never chosen, nor are -inf; +inf is chosen before anything finite.
class Sampler {
 public:
  /// Throws input error for options out of range.
  explicit Sampler(const SamplerOptions& options);

  /// The next token: an index into `logits` (one per vocabulary entry). `history`: the ids so far,
  /// oldest first; ids beyond the logits are passed over. Allocates in the first call only. Throws
  /// bug error when no logit is greater than -inf: something before went wrong.
  int32_t sample(std::span<const float> logits, std::span<const int32_t> history);

  const SamplerOptions& options() const noexcept { return options_; }

 private:
  struct Candidate {
    double weight;  // logit, then exp((logit - best) / temperature)
    int32_t id;
  };
  static bool before(const Candidate& a, const Candidate& b) noexcept {
    return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
  }
  void penalize(std::span<const int32_t> history);
  int32_t best() const;
  void weigh(double best_logit);
  void keep_top_k();
  void keep_top_p();
  void keep_min_p();
  int32_t draw();

  SamplerOptions options_;
  std::mt19937_64 random_;
  std::vector<Candidate> candidates_;
  std::vector<uint32_t> seen_;  // by id: the call that last saw it in the history
  uint32_t call_ = 0;
};

}  // namespace ktx::engine
