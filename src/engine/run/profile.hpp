// When the commands of a step began and ended, on the CPU and on GPUs.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "core/device/time_marks.hpp"
#include "engine/run/program.hpp"
#include "ktx/profile.hpp"

namespace ktx::engine {

/// Of a program's steps, one after another. A step that is given one marks the GPUs' queues around
/// each command; of what a recording is given it, the graph holds the marks.
class Profile {
 public:
  using Clock = device::TimeMarks::Clock;

  /// The program's devices are idle. Throws environment error.
  explicit Profile(const Program& program);

  /// A step begins: forgets the one before, but what was recorded.
  void begin();
  /// What has been marked since begin() is part of every step to come.
  void keep_recorded();
  /// When it had ended; its GPUs have been waited for.
  void end(Clock::time_point when) noexcept { ended_ = when; }
  double seconds() const noexcept;
  /// Of the step that has ended. Throws environment error.
  std::vector<Span> spans() const;

  /// Of all lanes.
  std::vector<std::string> lanes() const;
  double clock_error() const noexcept;

  /// Runs a command of a step.
  void run(const Command& command, const StepContext& step) noexcept;
  /// What the CPU does in f() is a span.
  template <class F>
  void on_cpu(const char* name, int layer, SpanKind kind, const F& f) noexcept {
    const auto begin = Clock::now();
    f();
    cpu_.push_back({name, layer, kind, begin, Clock::now()});
  }
  /// What f() submits to a queue of a GPU, while a command runs, is a span: of the GPU's lane, or
  /// of the one for copies beside it.
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

/// Runs it, as a span of the step's profile if there is one.
inline void run_command(const Command& command, const StepContext& step) noexcept {
  if (step.profile == nullptr)
    command.run(step);
  else
    step.profile->run(command, step);
}

/// f(), as a span of a profile's GPU if there is one.
template <class F>
void profiled(Profile* profile, const char* name, Profile::Lane lane, SpanKind kind,
              device::Queue& queue, const F& f) noexcept {
  if (profile == nullptr)
    f();
  else
    profile->on_gpu(name, lane, kind, queue, f);
}

}  // namespace ktx::engine
