// Drawing progress on stderr.
#include "tools/common/progress.hpp"

#include <unistd.h>

#include <cstdio>
#include <optional>
#include <utility>

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

Engine load_engine(const Plan& plan) {
  std::optional<ProgressBar> bar;
  bar.emplace("loading");
  Engine engine(plan, {.progress = [&bar](const LoadProgress& p) { bar->update(p); }});
  bar.reset();
  const auto& memory = engine.load_report().memory;
  if (!memory.empty()) std::fprintf(stderr, "memory %s\n", memory.c_str());
  return engine;
}

}  // namespace ktx::tools
