// Capturing a program's commands for GPUs.
#include "engine/run/recording.hpp"

#include <algorithm>

#include "engine/run/profile.hpp"
#include "engine/run/workspace.hpp"

namespace ktx::engine {

// A graph is captured from one queue. Queues of other GPUs fork from it and join it again, both
// when the graph is captured and when it is launched.
class Recording::Meeting {
 public:
  Meeting(const Program& program, int first) : devices_(*program.devices()), first_(first) {
    for (int p = first + 1; p < static_cast<int>(program.places().size()); ++p)
      others_.push_back({p, devices_.queue(p).make_event()});
    parted_ = devices_.queue(first).make_event();
  }
  /// Later work of the other queues waits for the first queue's work so far.
  void part() const noexcept {
    devices_.queue(first_).record(*parted_);
    for (const auto& other : others_) devices_.queue(other.place).wait(*parted_);
  }
  /// Later work of the first queue waits for the other queues' work so far.
  void join() const noexcept {
    for (const auto& other : others_) {
      devices_.queue(other.place).record(*other.joins);
      devices_.queue(first_).wait(*other.joins);
    }
  }

 private:
  struct Other {
    int place;
    std::unique_ptr<device::Event> joins;
  };
  const Devices& devices_;
  int first_;
  std::vector<Other> others_;
  std::unique_ptr<device::Event> parted_;
};

Recording::Recording(const Program& program, Workspace& workspace, KvStore& cache,
                     hw::WorkerPool& pool, Profile* profile)
    : program_(program), workspace_(workspace) {
  constexpr int first_gpu = 1;  // the CPU is place 0
  // Events recorded in a graph can't be used outside of it.
  const Meeting captured(program, first_gpu);
  meeting_ = std::make_unique<Meeting>(program, first_gpu);
  const int64_t most = profile == nullptr ? std::min(most_rows, program.max_rows()) : 1;
  for (int64_t rows = 1;; rows = std::min(2 * rows, most)) {
    Batch batch;
    batch.ids.resize(static_cast<size_t>(rows));
    const StepContext step{batch, workspace, cache, pool, rows, Submission::recorded, {}, profile};
    const auto submit = [&] {
      captured.part();
      for (const auto& layer : program.layers())
        for (const auto& command : layer)
          if (program.on_gpu(*command)) run_command(*command, step);
      captured.join();
    };
    graphs_.emplace_back(rows, device::capture(program.devices()->queue(first_gpu), submit));
    if (rows == most) break;
  }
  if (profile != nullptr) profile->keep_recorded();
}

Recording::~Recording() = default;

bool Recording::holds(int64_t rows) const noexcept {
  return rows <= graphs_.back().first;
}

int64_t Recording::launch(int64_t rows) const noexcept {
  const auto graph = std::ranges::find_if(graphs_, [&](const auto& g) { return g.first >= rows; });
  meeting_->join();
  graph->second->launch();
  meeting_->part();
  for (int p = 1; p < static_cast<int>(program_.places().size()); ++p)
    workspace_.inputs(p).mark_uploaded();
  return graph->first;
}

}  // namespace ktx::engine
