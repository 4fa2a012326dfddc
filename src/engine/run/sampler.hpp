// Chooses the next token from the logits.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "core/hw/worker_pool.hpp"
#include "ktx/session.hpp"

namespace ktx::engine {

using SamplerOptions = ktx::Sampling;

/// Filters run in the order of Hugging Face's generate(): biases, repetition penalty, frequency and
/// presence penalties, temperature, top-k, top-p (of what top-k kept), min-p. The best token always
/// stays. Equal logits: the lower id first. One sampler serves one generation: what it has chosen
/// is what the frequency and presence penalties count.
///
/// Deterministic: std::mt19937_64 (which the standard fixes to the bit), one draw per sampled token
/// and none per greedy one, made a double by its upper 53 bits. Probabilities are computed in
/// double; platforms differ by the last bit of exp() at most. Workers change nothing.
///
/// NaN logits are never chosen, nor are -inf; +inf is chosen before anything finite.
///
/// Only few tokens of a vocabulary matter. The maxima of chunks of logits tell which chunks can
/// hold them; sums over all tokens are estimated in float and computed again in double where the
/// estimate is too rough to decide.
class Sampler {
 public:
  /// Throws input error for options out of range.
  explicit Sampler(const SamplerOptions& options);

  /// The next token: an index into `logits` (one per vocabulary entry). `history`: the ids so far,
  /// oldest first; ids beyond the logits are passed over. A pool shares the passes over all logits.
  /// Throws input error when biases and penalties ban all tokens; bug error when no logit is
  /// greater than -inf: something before went wrong.
  int32_t sample(std::span<const float> logits, std::span<const int32_t> history,
                 hw::WorkerPool* pool = nullptr);

  const SamplerOptions& options() const noexcept { return options_; }

 private:
  struct Candidate {
    double weight;  // exp((logit - best) / temperature)
    int32_t id;
  };
  static bool before(const Candidate& a, const Candidate& b) noexcept {
    return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
  }
  int32_t choose(hw::WorkerPool* pool);
  bool adjusts() const noexcept;
  void adjust(std::span<const int32_t> history);
  void count(int32_t id);
  double logit(size_t i) const noexcept;
  double weight(size_t i) const noexcept;
  template <class Body>
  void for_chunks(hw::WorkerPool* pool, const Body& body) noexcept;
  std::span<const float> chunk(size_t i) const noexcept;
  void find_maxima(hw::WorkerPool* pool);
  int32_t best() const;
  void estimate_sums(hw::WorkerPool* pool);
  double estimated_total() const noexcept;
  double largest_error() const noexcept;
  void take_from(double least);
  void take_top(size_t count);
  double total_weight() const noexcept;
  void keep_top_k();
  size_t count_until(double weight);
  void keep_top_p();
  void take_top_p();
  void keep_min_p();
  int32_t draw_best_first(double at_part);
  int32_t draw(double at_part) const noexcept;
  int32_t draw_of_all(double at_part);

  SamplerOptions options_;
  std::mt19937_64 random_;

  // Of one call.
  std::span<const float> logits_;  // as they came
  std::span<const float> values_;  // with biases and penalties, rounded
  double best_logit_ = 0;
  std::vector<float> maxima_, sums_;  // of each chunk: greatest value; estimated sum of weights
  std::vector<float> sorted_maxima_;
  std::vector<Candidate> candidates_;

  // Where there are biases or penalties.
  struct Token {
    float bias = 0;
    int32_t count = 0;  // how often it was chosen
    uint32_t seen = 0;  // the call that last saw it in the history
  };
  std::vector<float> adjusted_;
  std::vector<Token> tokens_;    // by id
  std::vector<int32_t> chosen_;  // ids whose count is not 0
  uint32_t call_ = 0;
};

}  // namespace ktx::engine
