// Trials of decode steps with different numbers of workers.
#include "engine/run/decode_threads.hpp"

#include <algorithm>
#include <chrono>
#include <limits>

#include "core/base/error.hpp"
#include "engine/run/executor.hpp"

namespace ktx::engine {

namespace {

constexpr int rounds = 5;
constexpr double hopeless = 1.15;       // times the best: not tried again
constexpr double same = 1.02;           // times the best: no slower
constexpr double least_seconds = 5e-3;  // of a measurement: short steps are repeated
constexpr int most_steps = 64;
constexpr double never = std::numeric_limits<double>::infinity();

double best_of(std::span<const ThreadsTrial> trials) {
  return std::ranges::min_element(trials, {}, &ThreadsTrial::seconds)->seconds;
}

class Timer {
 public:
  explicit Timer(const TrialResources& resources)
      : resources_(resources), sequence_(resources.cache) {
    ready_ = sequence_.reserve(1);
  }

  // Seconds of a step with that number of workers; infinity: it can't run. Every step has the same
  // token, so that its experts are in memory even if weights are mapped from a file; models for
  // which this matters read more per step than any cache holds.
  double step(int threads) {
    const Batch batch{.ids = {0},
                      .sequences = {{.rows = 1, .pages = sequence_.pages()}},
                      .logit_rows = {0},
                      .workers = threads};
    const auto begun = std::chrono::steady_clock::now();
    Step step(resources_.programs.of(Phase::decode), batch, resources_.workspace, resources_.cache,
              resources_.pool, resources_.recording);
    while (!step.finished()) step.advance();
    if (!step.failed()) step.logits(0, 1);
    if (step.failed()) {
      resources_.programs.devices().recover();
      return never;
    }
    resources_.programs.devices().synchronize();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  }

  bool ready() const noexcept { return ready_; }

 private:
  const TrialResources& resources_;
  KvSequence sequence_;
  bool ready_;
};

}  // namespace

std::vector<int> thread_counts(int most) {
  std::vector<int> counts{most};
  const auto add = [&](int count) {
    if (count >= 1 && count < counts.back()) counts.push_back(count);
  };
  add(most - 1);
  for (const int eighths : {7, 6, 5, 4, 3, 2}) add(most * eighths / 8);
  return counts;
}

std::vector<ThreadsTrial> try_threads(int most, const std::function<double(int)>& seconds_of) {
  std::vector<ThreadsTrial> trials;
  for (const int threads : thread_counts(most)) trials.push_back({threads, never});
  for (int round = 0; round < rounds; ++round) {
    const double limit = hopeless * best_of(trials);
    for (auto& trial : trials)
      if (round == 0 || trial.seconds <= limit)
        trial.seconds = std::min(trial.seconds, seconds_of(trial.threads));
  }
  return trials;
}

int choose_threads(std::span<const ThreadsTrial> trials) {
  const double limit = same * best_of(trials);
  int fewest = trials.front().threads;
  for (const auto& trial : trials)
    if (trial.seconds <= limit) fewest = std::min(fewest, trial.threads);
  return fewest;
}

std::vector<ThreadsTrial> measure_decode_threads(const TrialResources& resources) {
  const int most = resources.pool.threads();
  Timer timer(resources);
  if (most == 1 || !timer.ready()) return {};
  timer.step(most);  // warms up: first use costs more
  const double once = timer.step(most);
  if (once == never) return {};
  const int steps = std::clamp(static_cast<int>(least_seconds / once), 1, most_steps);
  return try_threads(most, [&](int threads) {
    double sum = 0;
    for (int i = 0; i < steps; ++i) sum += timer.step(threads);
    return sum / steps;
  });
}

}  // namespace ktx::engine
