// A pool of pinned threads that run one parallel task at a time, without allocating per call.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/hw/affinity.hpp"

namespace ktx::hw {

/// The workers of one NUMA node.
struct PoolNode {
  int threads = 0;
  /// The logical CPUs to pin them to, worker i of the node to cpus[i % size]; empty: no pinning.
  std::vector<int> cpus;
};

/// Whether workers whose node has no items left take items of other nodes.
enum class Steal : bool { no, yes };

/// Items per chunk. The last chunks, about as many as there are workers, hold `least` items, so
/// that nobody waits long for the worker with the last one. A task of up to `most` items is one
/// chunk.
struct Grain {
  Grain(int64_t items) noexcept : Grain(items, items) {}
  Grain(int64_t most_items, int64_t least_items) noexcept : most(most_items), least(least_items) {}
  int64_t most, least;
};

/// Workers are numbered node by node. The calling thread takes part as worker 0, on the first node;
/// kernels keep up to 1 MiB on its stack. run(), parallel_for() and use() are not reentrant and
/// must be called from one thread at a time. Idle workers spin briefly, then sleep.
class WorkerPool {
 public:
  /// One node. threads: at least 1, the caller included.
  explicit WorkerPool(int threads, std::vector<int> cpus = {});
  /// The first node needs at least one thread, the others may have none.
  explicit WorkerPool(std::vector<PoolNode> nodes);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int size() const noexcept;  // of those in use
  int nodes() const noexcept;
  int node_of(int worker) const noexcept;
  int threads_of(int node) const noexcept;  // in use
  int threads() const noexcept;             // in use or not

  /// Sets how many workers take part from the next run on, at most threads(), divided among the
  /// nodes and renumbered. The others sleep until they are used again: memory-bound work is faster
  /// with only as many threads as the memory can feed. Costs one run if some go to sleep, nothing
  /// if the number does not change.
  void use(int threads) noexcept;

  /// Pins the calling thread to worker 0's CPU; from then on it should use only this pool.
  /// Unpinned, it may wake up on the CPU of another worker and delay both. Does nothing for a pool
  /// without CPUs.
  void pin_caller() const noexcept;

  /// How long workers spin for the next run before they sleep; waking them takes ten times as long
  /// as finding them awake. The default outlasts the gaps between operations of a layer, and is
  /// short enough that they sleep well within a millisecond of a step's end.
  static constexpr std::chrono::microseconds usual_spin_time{100};
  void spin_for(std::chrono::microseconds time) noexcept;

  /// Calls body(worker) once on every worker; returns when all have returned. body is noexcept.
  template <class Body>
  void run(Body&& body) noexcept {
    auto call = [](void* context, int worker) noexcept {
      (*static_cast<std::remove_reference_t<Body>*>(context))(worker);
    };
    run_raw(call, address(body));
  }

  /// Calls body(begin, end, worker) until [0, count) is covered, in chunks that go to the next free
  /// worker on any node. Runs on the caller alone if it is one chunk.
  template <class Body>
  void parallel_for(int64_t count, Grain grain, Body&& body) noexcept {
    auto call = [](void* context, int, int64_t begin, int64_t end, int worker) noexcept {
      (*static_cast<std::remove_reference_t<Body>*>(context))(begin, end, worker);
    };
    for_all(count, grain, call, address(body));
  }

  /// The same for items that belong to nodes: calls body(node, begin, end, worker) until
  /// [0, count(node)) is covered for every node. Without stealing, a node's items are done by its
  /// own workers only. Items of a node without workers are done by all workers, and a task of one
  /// chunk by the caller.
  template <class Count, class Body>
  void parallel_for_nodes(const Count& count, Grain grain, Steal steal, Body&& body) noexcept {
    for (int node = 0; node < nodes(); ++node) set_count(node, count(node));
    auto call = [](void* context, int node, int64_t begin, int64_t end, int worker) noexcept {
      (*static_cast<std::remove_reference_t<Body>*>(context))(node, begin, end, worker);
    };
    for_nodes(grain, steal, call, address(body));
  }

 private:
  using RunFn = void (*)(void* context, int worker) noexcept;
  using ForFn = void (*)(void* context, int node, int64_t begin, int64_t end, int worker) noexcept;
  template <class Body>
  static void* address(Body& body) noexcept {
    return const_cast<void*>(static_cast<const void*>(std::addressof(body)));
  }
  void run_raw(RunFn function, void* context) noexcept;
  void for_all(int64_t count, Grain grain, ForFn function, void* context) noexcept;
  void set_count(int node, int64_t count) noexcept;
  void for_nodes(Grain grain, Steal steal, ForFn function, void* context) noexcept;

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ktx::hw
