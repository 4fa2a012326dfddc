// From marks to spans.
#include "engine/run/profile.hpp"

#include <algorithm>

#include "core/base/error.hpp"

namespace ktx::engine {

namespace {

double to_seconds(Profile::Clock::duration duration) noexcept {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

Profile::Profile(const Program& program) : program_(program) {
  for (size_t p = 0; p < program.places().size(); ++p)
    marks_.push_back(program.places()[p].kind == device::DeviceKind::cuda
                         ? device::make_time_marks(program.devices()->queue(static_cast<int>(p)))
                         : nullptr);
  recorded_marks_.resize(marks_.size(), 0);
  last_.resize(marks_.size(), -1);
}

void Profile::begin() {
  cpu_.clear();
  gpu_.resize(recorded_);
  for (size_t p = 0; p < marks_.size(); ++p) {
    if (!marks_[p]) continue;
    marks_[p]->keep(recorded_marks_[p]);
    marks_[p]->align();
  }
  begun_ = Clock::now();
}

void Profile::keep_recorded() {
  recorded_ = gpu_.size();
  for (size_t p = 0; p < marks_.size(); ++p)
    if (marks_[p]) recorded_marks_[p] = marks_[p]->count();
}

double Profile::seconds() const noexcept {
  return to_seconds(ended_ - begun_);
}

double Profile::clock_error() const noexcept {
  Clock::duration most{};
  for (const auto& marks : marks_)
    if (marks) most = std::max<Clock::duration>(most, marks->error());
  return to_seconds(most);
}

// Two lanes per place; the CPU's second one stays empty.
std::vector<std::string> Profile::lanes() const {
  std::vector<std::string> lanes;
  for (const auto& place : program_.places()) {
    lanes.push_back(device::to_string(place));
    lanes.push_back(lanes.back() + " copies");
  }
  return lanes;
}

std::vector<Span> Profile::spans() const {
  std::vector<Span> spans;
  for (const auto& s : cpu_)
    spans.push_back({.name = s.name,
                     .lane = 0,
                     .layer = s.layer,
                     .kind = s.kind,
                     .begin = to_seconds(s.begin - begun_),
                     .end = to_seconds(s.end - begun_)});
  for (const auto& s : gpu_) {
    if (s.begin < 0 || s.end < 0) continue;
    const auto& marks = *marks_[static_cast<size_t>(s.place)];
    spans.push_back({.name = s.name,
                     .lane = 2 * s.place + (s.lane == Lane::copies ? 1 : 0),
                     .layer = s.layer,
                     .kind = s.kind,
                     .begin = to_seconds(marks.time(s.begin) - begun_),
                     .end = to_seconds(marks.time(s.end) - begun_)});
  }
  // Spans that contain others come before them.
  std::ranges::sort(spans, [](const Span& a, const Span& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
  });
  return spans;
}

int Profile::place_of(const device::Queue& queue) const noexcept {
  const auto place = queue.place();
  const auto found = std::ranges::find_if(program_.places(), [&](const device::Place& p) {
    return p.kind == place.kind && p.index == place.index;
  });
  return static_cast<int>(found - program_.places().begin());
}

void Profile::run(const Command& command, const StepContext& step) noexcept {
  const auto& label = command.label();
  layer_ = label.layer;
  const char* name = label.name.c_str();
  if (!program_.on_gpu(command))
    return on_cpu(name, layer_, label.kind, [&] { command.run(step); });
  if (step.submission == Submission::recorded) return run_recorded(command, step);
  auto& queue = program_.devices()->queue(command.place());
  on_cpu(name, layer_, SpanKind::submit,
         [&] { on_gpu(name, Lane::main, label.kind, queue, [&] { command.run(step); }); });
}

// In a graph, commands follow each other directly, so one mark between two of them is enough.
void Profile::run_recorded(const Command& command, const StepContext& step) noexcept {
  const auto& label = command.label();
  const int place = command.place();
  auto& queue = program_.devices()->queue(place);
  int& last = last_[static_cast<size_t>(place)];
  if (last < 0) last = mark(place, queue);
  command.run(step);
  const int end = mark(place, queue);
  gpu_.push_back(
      {label.name.c_str(), label.layer, label.recorded_kind, place, Lane::main, last, end});
  last = end;
}

}  // namespace ktx::engine
