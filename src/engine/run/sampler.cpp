// The filters. Each works on the candidates that the previous one kept.
#include "engine/run/sampler.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <numeric>
#include <string>

#include "core/base/error.hpp"

namespace ktx::engine {

namespace {

constexpr float minus_infinity = -std::numeric_limits<float>::infinity();
constexpr size_t chunk_size = 64;  // logits: few enough to scan for one candidate
constexpr int64_t grain = 256;     // chunks that a worker takes at a time
constexpr size_t lanes = 16;       // of unrolled loops, which the compiler maps to its vectors

template <class T>
void check(bool holds, const char* name, const char* expected, T found) {
  if (!holds)
    throw_input(std::string(name) + ": expected " + expected + ", found " + std::to_string(found),
                "sampling");
}

float maximum(std::span<const float> values) noexcept {
  std::array<float, lanes> most;
  most.fill(minus_infinity);
  size_t i = 0;
  for (; i + lanes <= values.size(); i += lanes)
    for (size_t j = 0; j < lanes; ++j)  // NaN is never greater
      most[j] = values[i + j] > most[j] ? values[i + j] : most[j];
  for (; i < values.size(); ++i) most[0] = values[i] > most[0] ? values[i] : most[0];
  return *std::max_element(most.begin(), most.end());
}

constexpr float least_exponent = -126;  // of normal floats

// 2^x for x from that to 0, to some 3e-7 of it.
inline float exp2_estimate(float x) noexcept {
  const auto whole = static_cast<int32_t>(x - 0.5f);  // to the nearest: x is not positive
  const float r = (x - static_cast<float>(whole)) * std::numbers::ln2_v<float>;
  float p = 1.0f / 720;  // the series of e^r
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1;
  p = p * r + 1;
  return p * std::bit_cast<float>((whole + 127) << 23);
}

// Of a chunk's weights; scale: log2(e) / temperature.
float estimated_sum(std::span<const float> values, float best, float scale) noexcept {
  std::array<float, chunk_size> weights;
  weights.fill(minus_infinity);
  std::copy(values.begin(), values.end(), weights.begin());
  for (float& x : weights) {  // NaN is never greater
    x = (x - best) * scale;
    x = x > least_exponent ? x : least_exponent;
  }
  for (float& x : weights)
    x = exp2_estimate(x);  // a loop of its own, without a branch, for vectors
  std::array<float, lanes> sum{};
  for (size_t i = 0; i < chunk_size; i += lanes)
    for (size_t j = 0; j < lanes; ++j) sum[j] += weights[i + j];
  return std::accumulate(sum.begin(), sum.end(), 0.0f);
}

}  // namespace

Sampler::Sampler(const SamplerOptions& options) : options_(options), random_(options.seed) {
  const auto& o = options_;
  check(o.temperature >= 0 && std::isfinite(o.temperature), "temperature",
        "0 (greedy) or a positive number", o.temperature);
  check(o.top_k >= 0, "top-k", "0 (all) or a positive count", o.top_k);
  check(o.top_p > 0 && o.top_p <= 1, "top-p", "more than 0 and at most 1", o.top_p);
  check(o.min_p >= 0 && o.min_p <= 1, "min-p", "from 0 to 1", o.min_p);
  check(o.repetition_penalty > 0 && std::isfinite(o.repetition_penalty), "repetition penalty",
        "a positive number", o.repetition_penalty);
  check(o.repetition_window >= 0, "repetition window", "0 (all) or a positive count",
        o.repetition_window);
  check(std::isfinite(o.frequency_penalty), "frequency penalty", "a number", o.frequency_penalty);
  check(std::isfinite(o.presence_penalty), "presence penalty", "a number", o.presence_penalty);
  for (const auto& [id, bias] : o.logit_bias) {
    check(id >= 0, "logit bias", "a token id", id);
    check(bias < std::numeric_limits<float>::infinity(), "logit bias", "a number or -inf", bias);
  }
}

int32_t Sampler::sample(std::span<const float> logits, std::span<const int32_t> history,
                        hw::WorkerPool* pool) {
  logits_ = values_ = logits;
  if (adjusts()) adjust(history);
  const int32_t id = choose(pool);
  if (adjusts()) count(id);
  return id;
}

int32_t Sampler::choose(hw::WorkerPool* pool) {
  const auto& o = options_;
  find_maxima(pool);
  const int32_t greedy = best();
  best_logit_ = logit(static_cast<size_t>(greedy));
  if (o.temperature == 0 || std::isinf(best_logit_)) return greedy;
  const double at_part = static_cast<double>(random_() >> 11) * 0x1p-53;

  if (o.top_k > 0) {
    keep_top_k();
    if (o.top_p < 1) keep_top_p();
  } else if (o.top_p < 1) {
    estimate_sums(pool);
    take_top_p();
  } else if (o.min_p > 0) {
    const double range = static_cast<double>(o.temperature) * std::log(double{o.min_p});
    take_from(best_logit_ + range - 1e-6 * (std::abs(best_logit_) - range));  // and rounding
  } else {
    estimate_sums(pool);
    return draw_of_all(at_part);
  }
  if (o.min_p > 0) keep_min_p();
  return o.top_k > 0 || o.top_p < 1 ? draw_best_first(at_part) : draw(at_part);
}

// ---- logits ----

bool Sampler::adjusts() const noexcept {
  const auto& o = options_;
  return o.repetition_penalty != 1 || o.frequency_penalty != 0 || o.presence_penalty != 0 ||
         !o.logit_bias.empty();
}

void Sampler::adjust(std::span<const int32_t> history) {
  if (tokens_.size() < logits_.size()) {
    tokens_.resize(logits_.size());
    for (auto& token : tokens_) token.bias = 0;
    for (const auto& [id, bias] : options_.logit_bias)
      if (static_cast<size_t>(id) < tokens_.size()) tokens_[static_cast<size_t>(id)].bias += bias;
  }
  if (++call_ == 0) {  // wrapped: marks of earlier calls would look current
    for (auto& token : tokens_) token.seen = 0;
    call_ = 1;
  }
  const auto window = static_cast<size_t>(options_.repetition_window);
  if (window > 0 && window < history.size()) history = history.last(window);
  if (options_.repetition_penalty == 1) history = {};
  const auto is_token = [this](int32_t id) {
    return id >= 0 && static_cast<size_t>(id) < logits_.size();
  };
  for (const int32_t id : history)
    if (is_token(id)) tokens_[static_cast<size_t>(id)].seen = call_;

  adjusted_.assign(logits_.begin(), logits_.end());
  values_ = adjusted_;
  const auto change = [&](int32_t id) {
    const auto i = static_cast<size_t>(id);
    if (is_token(id)) adjusted_[i] = static_cast<float>(logit(i));
  };
  for (const auto& [id, bias] : options_.logit_bias) change(id);
  std::ranges::for_each(history, change);
  std::ranges::for_each(chosen_, change);
}

void Sampler::count(int32_t id) {
  if (tokens_[static_cast<size_t>(id)].count++ == 0) chosen_.push_back(id);
}

// With biases and penalties, not rounded.
double Sampler::logit(size_t i) const noexcept {
  double x = logits_[i];
  if (tokens_.empty()) return x;
  const auto& o = options_;
  const Token& token = tokens_[i];
  x += token.bias;
  const double penalty = o.repetition_penalty;
  if (token.seen == call_) x = x > 0 ? x / penalty : x * penalty;
  if (token.count > 0) x -= double{o.frequency_penalty} * token.count + double{o.presence_penalty};
  return x;
}

double Sampler::weight(size_t i) const noexcept {
  return std::exp((logit(i) - best_logit_) / static_cast<double>(options_.temperature));
}

// ---- passes over all chunks ----

template <class Body>
void Sampler::for_chunks(hw::WorkerPool* pool, const Body& body) noexcept {
  const auto range = [&](int64_t begin, int64_t end, int) noexcept {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) body(i);
  };
  const auto count = static_cast<int64_t>(maxima_.size());
  if (pool != nullptr)
    pool->parallel_for(count, grain, range);
  else
    range(0, count, 0);
}

std::span<const float> Sampler::chunk(size_t i) const noexcept {
  const size_t begin = i * chunk_size;
  return values_.subspan(begin, std::min(chunk_size, values_.size() - begin));
}

void Sampler::find_maxima(hw::WorkerPool* pool) {
  maxima_.resize((values_.size() + chunk_size - 1) / chunk_size);
  for_chunks(pool, [this](size_t i) { maxima_[i] = maximum(chunk(i)); });
}

int32_t Sampler::best() const {
  const float most = maximum(maxima_);
  if (most == minus_infinity && maximum(logits_) > minus_infinity)
    throw_input("logit biases and penalties ban all tokens: expected at least one that is allowed",
                "sampling");
  if (most == minus_infinity)
    throw_bug("no token can be chosen: no logit of " + std::to_string(logits_.size()) +
              " is a number above -inf");
  size_t best = values_.size();
  for (size_t c = 0; c < maxima_.size(); ++c) {
    if (maxima_[c] != most) continue;
    for (size_t i = c * chunk_size; i < std::min((c + 1) * chunk_size, values_.size()); ++i)
      if (values_[i] == most && (best == values_.size() || logit(i) > logit(best))) best = i;
  }
  return static_cast<int32_t>(best);
}

void Sampler::estimate_sums(hw::WorkerPool* pool) {
  const auto best = static_cast<float>(best_logit_);
  const auto scale =
      static_cast<float>(std::min(std::numbers::log2e / static_cast<double>(options_.temperature),
                                  static_cast<double>(std::numeric_limits<float>::max())));
  sums_.resize(maxima_.size());
  for_chunks(pool, [=, this](size_t i) { sums_[i] = estimated_sum(chunk(i), best, scale); });
}

double Sampler::estimated_total() const noexcept {
  double total = 0;
  for (const float sum : sums_) total += static_cast<double>(sum);
  return total;
}

// Error of any sum over sums_, relative to the total. A weight e^x is off by |x| roundings, and the
// mean of |x| is at most ln(tokens), because no distribution has more entropy than the uniform one.
double Sampler::largest_error() const noexcept {
  const double rounding = 0x1p-23;
  const double arithmetic = rounding * (2 * std::log(static_cast<double>(values_.size())) + 8);
  if (!adjusts()) return arithmetic;
  const double temperature = options_.temperature;
  return arithmetic + 2 * rounding * std::abs(best_logit_) / temperature;
}

// ---- candidates ----

// Takes all tokens with at least this value and a weight above 0, in the order of ids.
void Sampler::take_from(double least) {
  candidates_.clear();
  for (size_t c = 0; c < maxima_.size(); ++c) {
    if (maxima_[c] < least) continue;
    for (size_t i = c * chunk_size; i < std::min((c + 1) * chunk_size, values_.size()); ++i) {
      if (!(values_[i] >= least)) continue;  // or NaN
      const Candidate candidate{weight(i), static_cast<int32_t>(i)};
      if (candidate.weight > 0) candidates_.push_back(candidate);
    }
  }
}

// Takes at least the `count` best tokens, and all that equal the last of these: as many tokens
// reach the count-th largest maximum of a chunk.
void Sampler::take_top(size_t count) {
  if (count >= maxima_.size()) return take_from(minus_infinity);
  sorted_maxima_ = maxima_;
  const auto last = sorted_maxima_.begin() + static_cast<std::ptrdiff_t>(count - 1);
  std::nth_element(sorted_maxima_.begin(), last, sorted_maxima_.end(), std::greater<>());
  take_from(*last);
}

double Sampler::total_weight() const noexcept {
  double total = 0;
  for (const auto& c : candidates_) total += c.weight;
  return total;
}

void Sampler::keep_top_k() {
  take_top(static_cast<size_t>(options_.top_k));
  const auto k = std::min(static_cast<size_t>(options_.top_k), candidates_.size());
  const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(k);
  std::nth_element(candidates_.begin(), end - 1, candidates_.end(), before);
  candidates_.resize(k);
}

// The number of candidates, best first, that together have at least this weight. They are moved to
// the front, the least of them last. All candidates if rounding leaves the sum below the weight. A
// binary search by partitioning, without sorting.
size_t Sampler::count_until(double weight) {
  const auto at = [this](size_t i) { return candidates_.begin() + static_cast<std::ptrdiff_t>(i); };
  size_t begin = 0, end = candidates_.size();
  while (end - begin > 1) {
    const size_t middle = begin + (end - begin) / 2;
    std::nth_element(at(begin), at(middle), at(end), before);
    double sum = 0;
    for (size_t i = begin; i < middle; ++i) sum += candidates_[i].weight;
    if (sum >= weight) {
      end = middle;
    } else {
      begin = middle;
      weight -= sum;
    }
  }
  return end;
}

void Sampler::keep_top_p() {
  candidates_.resize(count_until(total_weight() * static_cast<double>(options_.top_p)));
}

// top-p of all tokens: takes those in a wider and wider range below the best, until they certainly
// reach the probability.
void Sampler::take_top_p() {
  const double total = estimated_total();
  const double enough = total * static_cast<double>(options_.top_p);
  const double error = total * largest_error();
  const double temperature = options_.temperature;
  for (double range = 3; range < 30; range += 3) {
    take_from(best_logit_ - range * temperature);
    if (candidates_.size() > values_.size() / 2) break;  // taking all costs no more
    if (!(total_weight() >= enough + error)) continue;
    candidates_.resize(count_until(enough));
    const double sum = total_weight();
    const bool needs_last =
        candidates_.size() == 1 || sum - candidates_.back().weight < enough - error;
    if (needs_last && sum >= enough + error) return;
    break;
  }
  take_from(minus_infinity);
  keep_top_p();
}

void Sampler::keep_min_p() {
  // The best has weight 1.
  std::erase_if(candidates_,
                [&](const Candidate& c) { return c.weight < static_cast<double>(options_.min_p); });
}

// The candidate at which the cumulated weight, best first, reaches this part of the total.
int32_t Sampler::draw_best_first(double at_part) {
  const double more_than = at_part * total_weight();
  const size_t count = count_until(std::nextafter(more_than, 2 * more_than + 1));
  return candidates_[count - 1].id;
}

// The candidate at which the cumulated weight, in the order of ids, reaches this part of the total.
int32_t Sampler::draw(double at_part) const noexcept {
  const double at = at_part * total_weight();
  double sum = 0;
  for (const auto& c : candidates_)
    if ((sum += c.weight) > at) return c.id;
  return candidates_.back().id;  // rounding: the sum may end slightly below the total
}

// The same, among all tokens.
int32_t Sampler::draw_of_all(double at_part) {
  const double total = estimated_total();
  const double at = total * at_part;
  const double error = 2 * total * largest_error();  // of both total * part and a sum
  double sum = 0;
  size_t c = 0;
  while (c + 1 < sums_.size() && sum + static_cast<double>(sums_[c]) <= at)
    sum += static_cast<double>(sums_[c++]);
  for (size_t i = c * chunk_size; i < std::min((c + 1) * chunk_size, values_.size()); ++i) {
    const double next = std::isnan(logits_[i]) ? sum : sum + weight(i);
    if (at - sum >= error && next - at > error) return static_cast<int32_t>(i);
    sum = next;
  }
  take_from(minus_infinity);
  return draw(at_part);
}

}  // namespace ktx::engine
