// A progress bar with a rate, on a terminal only.
#pragma once

#include <chrono>
#include <string>

#include "ktx/engine.hpp"

namespace ktx::tools {

class ProgressBar {
 public:
  explicit ProgressBar(std::string title);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// Redraws at most 20 times a second; done and total in bytes.
  void update(const LoadProgress& progress);

 private:
  std::string title_;
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_, last_;
};

/// Prints the plan's warnings, then loads what was planned, with a bar while it does, and says on
/// stderr how much it read how fast.
Engine load_engine(const Plan& plan);

/// Waits until the cache is written, with a bar while it does.
void finish_cache(const Engine& engine);

}  // namespace ktx::tools
