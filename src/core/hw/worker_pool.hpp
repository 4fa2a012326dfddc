// A pool of pinned threads that share one piece of work at a time. No allocation per call.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace ktx::hw {

/// The calling thread takes part as worker 0. run() and parallel_for() are not reentrant and are
/// called from one thread at a time. Idle workers spin briefly, then sleep.
class WorkerPool {
 public:
  /// threads: at least 1, the caller included. cpus: the logical CPUs to pin workers 1.. to (worker
  /// i to cpus[i % size]); empty: no pinning. The calling thread is never pinned.
  explicit WorkerPool(int threads, std::vector<int> cpus = {});
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int size() const noexcept;

  /// Calls body(worker) once on every worker; returns when all have returned. body is noexcept.
  template <class Body>
  void run(Body&& body) noexcept {
    auto call = [](void* context, int worker) noexcept {
      (*static_cast<std::remove_reference_t<Body>*>(context))(worker);
    };
    run_raw(call, const_cast<void*>(static_cast<const void*>(std::addressof(body))));
  }

  /// Calls body(begin, end, worker) until [0, count) is covered, in chunks of at most `grain`,
  /// handed out as workers get free. Runs on the caller alone when one chunk holds all.
  template <class Body>
  void parallel_for(int64_t count, int64_t grain, Body&& body) noexcept {
    auto call = [](void* context, int64_t begin, int64_t end, int worker) noexcept {
      (*static_cast<std::remove_reference_t<Body>*>(context))(begin, end, worker);
    };
    for_raw(count, grain, call, const_cast<void*>(static_cast<const void*>(std::addressof(body))));
  }

 private:
  using RunFn = void (*)(void* context, int worker) noexcept;
  using ForFn = void (*)(void* context, int64_t begin, int64_t end, int worker) noexcept;
  void run_raw(RunFn function, void* context) noexcept;
  void for_raw(int64_t count, int64_t grain, ForFn function, void* context) noexcept;

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ktx::hw
