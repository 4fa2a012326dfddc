// Drawing progress on stderr.
#include "tools/common/progress.hpp"

#include <unistd.h>

#include <cstdio>
#include <optional>
#include <utility>

#include "tools/common/cli.hpp"
#include "tools/common/text.hpp"

namespace ktx::tools {

using Clock = std::chrono::steady_clock;

namespace {
constexpr int bar_width = 30;
constexpr auto redraw_every = std::chrono::milliseconds(50);
}  // namespace

ProgressBar::ProgressBar(std::string title)
    : title_(std::move(title)), terminal_(isatty(STDERR_FILENO) != 0), start_(Clock::now()) {}

ProgressBar::~ProgressBar() {
  if (drawn_) std::fprintf(stderr, "\r\x1b[K");
}

void ProgressBar::update(const LoadProgress& progress) {
  const auto now = Clock::now();
  if (!terminal_ || progress.total == 0 || (drawn_ && now - last_ < redraw_every)) return;
  last_ = now;
  drawn_ = true;
  const double share = static_cast<double>(progress.done) / static_cast<double>(progress.total);
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(progress.done) / seconds / 1e9 : 0;
  std::string bar(bar_width, '.');
  bar.replace(0, static_cast<size_t>(share * bar_width), static_cast<size_t>(share * bar_width),
              '#');
  std::fprintf(stderr, "\r%s [%s] %3.0f%%  %.2f GB/s  %.40s\x1b[K", title_.c_str(), bar.c_str(),
               share * 100, rate, progress.module.c_str());
}

namespace {

std::string byte_text(uint64_t bytes) {
  const auto number = static_cast<double>(bytes);
  return bytes < 1'000'000'000 ? short_number(number / 1e6) + " MB"
                               : short_number(number / 1e9) + " GB";
}

std::string trials_text(const LoadReport& r) {
  std::string text = "decodes with " + std::to_string(r.decode_threads) +
                     (r.decode_threads == 1 ? " thread" : " threads") + "; a step takes";
  for (const auto& trial : r.decode_trials)
    text += (trial.threads == r.decode_trials.front().threads ? " " : ", ") +
            short_number(trial.seconds * 1e3) + " ms with " + std::to_string(trial.threads);
  return text;
}

void report(const LoadReport& r) {
  const std::string read = "read " + byte_text(r.source_bytes) + " (" +
                           short_number(static_cast<double>(r.source_bytes) / r.seconds / 1e9) +
                           " GB/s)";
  const std::string mapped = "mapped " + byte_text(r.cached_bytes) + " of packed weights";
  std::fprintf(stderr, "loaded in %s s: %s\n", short_number(r.seconds).c_str(),
               (r.cached_bytes == 0   ? read
                : r.source_bytes == 0 ? mapped
                                      : read + ", " + mapped)
                   .c_str());
  if (!r.memory.empty()) std::fprintf(stderr, "memory %s\n", r.memory.c_str());
  if (!r.decode_trials.empty()) std::fprintf(stderr, "%s\n", trials_text(r).c_str());
  if (!r.streaming.empty()) std::fprintf(stderr, "%s\n", r.streaming.c_str());
}

}  // namespace

Engine load_engine(const Plan& plan) {
  for (const auto& warning : plan.warnings()) warn(warning);
  std::optional<ProgressBar> bar("loading");
  Engine engine(plan, {.progress = [&bar](const LoadProgress& p) { bar->update(p); }});
  bar.reset();
  report(engine.load_report());
  return engine;
}

void finish_cache(const Engine& engine) {
  ProgressBar bar("keeping");
  engine.finish_cache([&bar](const LoadProgress& p) { bar.update(p); });
}

}  // namespace ktx::tools
