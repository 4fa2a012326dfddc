// Records when the commands of a step began and ended, on the CPU and on GPUs.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "core/device/time_marks.hpp"
#include "engine/run/program.hpp"
#include "ktx/profile.hpp"

namespace ktx::engine {

/// Profiles the steps of a program, one at a time. A step with a profile puts timestamps around
/// each command in the GPUs' queues; in a recording, the graph contains the timestamps.
class Profile {
 public:
  using Clock = device::TimeMarks::Clock;

  /// The program's devices must be idle. Throws environment error.
  explicit Profile(const Program& program);

  /// Begins a step: drops the previous one, except what was recorded.
  void begin();
  /// Makes the timestamps taken since begin() part of every later step.
  void keep_recorded();
  /// Ends the step at that time; its GPUs have been waited for.
  void end(Clock::time_point when) noexcept { ended_ = when; }
  double seconds() const noexcept;
  /// The spans of the step that has ended. Throws environment error.
  std::vector<Span> spans() const;

  /// The names of all lanes.
  std::vector<std::string> lanes() const;
  double clock_error() const noexcept;

  /// Runs a command of a step.
  void run(const Command& command, const StepContext& step) noexcept;
  /// Calls f() as a span of the CPU's lane.
  template <class F>
  void on_cpu(const char* name, int layer, SpanKind kind, const F& f) noexcept {
    const auto begin = Clock::now();
    f();
    cpu_.push_back({name, layer, kind, begin, Clock::now()});
  }
  /// Calls f(), which submits work to a GPU's queue during a command, as a span of the GPU's lane
  /// or of its lane for copies.
  enum class Lane { main, copies };
  template <class F>
  void on_gpu(const char* name, Lane lane, SpanKind kind, device::Queue& queue,
              const F& f) noexcept {
    const int place = place_of(queue);
    const int begin = mark(place, queue);
    f();
    gpu_.push_back({name, layer_, kind, place, lane, begin, mark(place, queue)});
  }

 private:
  struct CpuSpan {
    const char* name;
    int layer;
    SpanKind kind;
    Clock::time_point begin, end;
  };
  struct GpuSpan {
    const char* name;
    int layer;
    SpanKind kind;
    int place;
    Lane lane;
    int begin, end;  // marks
  };

  int place_of(const device::Queue& queue) const noexcept;
  int mark(int place, device::Queue& queue) noexcept {
    return marks_[static_cast<size_t>(place)]->mark(queue);
  }
  void run_recorded(const Command& command, const StepContext& step) noexcept;

  const Program& program_;
  std::vector<std::unique_ptr<device::TimeMarks>> marks_;  // [places] null: of the CPU
  std::vector<CpuSpan> cpu_;
  std::vector<GpuSpan> gpu_;
  size_t recorded_ = 0;              // spans of gpu_ that are
  std::vector<int> recorded_marks_;  // [places]
  std::vector<int> last_;            // [places] mark behind the last recorded command, or -1
  int layer_ = -1;                   // of the command that runs
  Clock::time_point begun_, ended_;
};

/// Runs a command, as a span of the step's profile if it has one.
inline void run_command(const Command& command, const StepContext& step) noexcept {
  if (step.profile == nullptr)
    command.run(step);
  else
    step.profile->run(command, step);
}

/// Calls f(), as a span of the profile if there is one.
template <class F>
void profiled(Profile* profile, const char* name, Profile::Lane lane, SpanKind kind,
              device::Queue& queue, const F& f) noexcept {
  if (profile == nullptr)
    f();
  else
    profile->on_gpu(name, lane, kind, queue, f);
}

}  // namespace ktx::engine
