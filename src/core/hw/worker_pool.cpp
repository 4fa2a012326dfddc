// The worker pool: workers spin on an epoch for a bounded time, then sleep on it.
#include "core/hw/worker_pool.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <span>
#include <string>
#include <thread>

#include "core/base/error.hpp"
#include "core/hw/pause.hpp"
#include "core/hw/sleeper.hpp"
#include "core/hw/thread_stack.hpp"

namespace ktx::hw {

namespace {

constexpr int pauses_per_clock_read = 32;

// Spins until done() or until the time is up; says which. The awaited thread was last seen on CPU
// `other`: spinning there would only keep it from running.
template <class Done>
bool spin_until(const Done& done, const std::atomic<int>& other,
                std::chrono::microseconds time) noexcept {
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < pauses_per_clock_read; ++i) {
      if (done()) return true;
      pause();
    }
    if (other.load(std::memory_order_relaxed) == ::sched_getcpu()) return done();
  } while (std::chrono::steady_clock::now() - start < time);
  return done();
}

using Epoch = uint32_t;  // sizes that std::atomic::wait hands to the futex as they are

// On a cache line of its own: the caller polls these one after the other.
struct alignas(64) Worker {
  std::atomic<Epoch> done{0};  // the last epoch this worker has finished
  Sleeper sleeper;
  std::atomic<int> cpu{-1};         // where it finished
  std::atomic<bool> parked{false};  // sleeps, whatever the epoch
  // Written by the caller between two runs.
  bool used = true;
  int index = 0;       // its number among those in use, or -1
  int pinned_to = -1;  // CPU
  std::thread thread;
};

// Items that a group of workers takes in chunks. On a cache line of its own.
struct alignas(64) Group {
  int first_worker = 0, workers = 0;
  int64_t count = 0, chunks = 0;
  Grain grain = 1;
  int64_t coarse = 0;            // chunks of grain.most; those behind them hold grain.least
  std::atomic<int64_t> next{0};  // chunk

  // Each worker's first chunk is its own: one contended addition less per worker, none when there
  // is a worker for every chunk.
  void start(Grain wanted) noexcept {
    grain.most = std::max<int64_t>(wanted.most, 1);
    grain.least = std::clamp<int64_t>(wanted.least, 1, grain.most);
    cut();
    next.store(workers, std::memory_order_relaxed);
  }
  void cut() noexcept {
    chunks = coarse = count <= 0 ? 0 : (count - 1) / grain.most + 1;
    if (chunks <= 1 || grain.least == grain.most) return;
    coarse = std::max<int64_t>(count / grain.most - std::max(workers, 1), 0);
    chunks = coarse + (count - coarse * grain.most - 1) / grain.least + 1;
  }
  int64_t begin_of(int64_t chunk) const noexcept {
    return std::min(chunk, coarse) * grain.most +
           std::max<int64_t>(chunk - coarse, 0) * grain.least;
  }
  int64_t items_of(int64_t chunk) const noexcept {
    return std::min(chunk < coarse ? grain.most : grain.least, count - begin_of(chunk));
  }
  bool has_unowned_chunks() const noexcept { return chunks > workers; }
  int64_t take() noexcept {
    return has_unowned_chunks() ? next.fetch_add(1, std::memory_order_relaxed) : chunks;
  }
};

}  // namespace

// A run is: the caller writes the job, then the epoch; every worker sees the new epoch, does the
// job and writes the epoch to its `done`; the caller waits for each of these. Sequential
// consistency of `epoch` and `done` against `sleepers`, Sleeper and `caller_sleeps` is what makes
// a lost wake-up impossible: whoever goes to sleep announces it first and then looks again.
//
// Workers park themselves in a run that does nothing: once they are done with it they look at
// nothing but `parked`. One that is used again begins behind the epoch of that moment.
struct WorkerPool::State {
  // What the workers read at the start of a run lies on one line.
  alignas(64) std::atomic<Epoch> epoch{0};
  std::atomic<int> caller_cpu{-1};
  RunFn function = nullptr;  // nullptr: end the thread
  void* context = nullptr;

  alignas(64) std::atomic<int> sleepers{0};
  std::atomic<int> next_to_wake{0};  // index into workers
  std::atomic<bool> caller_sleeps{false};

  alignas(64) bool spins = true;
  std::atomic<std::chrono::microseconds> spin_time{WorkerPool::usual_spin_time};
  std::vector<PoolNode> nodes;
  std::vector<int> node_of;    // [workers in use] -> node
  std::vector<Group> by_node;  // a group a node
  Group everyone;
  std::vector<Worker> workers;  // all but the caller, node by node

  explicit State(std::vector<PoolNode> pool_nodes)
      : nodes(std::move(pool_nodes)), by_node(nodes.size()) {
    for (size_t n = 0; n < nodes.size(); ++n)
      node_of.insert(node_of.end(), static_cast<size_t>(nodes[n].threads), static_cast<int>(n));
    workers = std::vector<Worker>(node_of.size() - 1);
    place_workers();
    number(threads());
    spins = threads() <= available_cpus();
  }

  int threads() const noexcept { return static_cast<int>(workers.size()) + 1; }
  int size() const noexcept { return everyone.workers; }

  // Starts the workers' next run.
  void publish(RunFn run_function, void* run_context) noexcept {
    function = run_function;
    context = run_context;
    caller_cpu.store(::sched_getcpu(), std::memory_order_relaxed);
    next_to_wake.store(0, std::memory_order_relaxed);
    epoch.store(epoch.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) > 0) wake_workers();
  }

  void wait_for_workers() noexcept {
    const Epoch now = epoch.load(std::memory_order_relaxed);
    for (auto& worker : workers)
      if (worker.used) wait_for(worker, now);
  }

  // Who takes part from now on: see WorkerPool::use.
  void use(int count) noexcept {
    count = std::clamp(count, 1, threads());
    if (count == size()) return;
    number(count);
    // Some of a node may be used no more though all are more than before: shares are rounded.
    const auto parks = [](const Worker& worker) { return worker.used && worker.index < 0; };
    if (std::ranges::any_of(workers, parks)) {
      publish([](void*, int) noexcept {}, nullptr);
      wait_for_workers();
    }
    for (auto& worker : workers) {
      const bool wakes = worker.index >= 0 && !worker.used;
      worker.used = worker.index >= 0;
      if (!wakes) continue;
      worker.done.store(epoch.load(std::memory_order_relaxed), std::memory_order_relaxed);
      worker.parked.store(false, std::memory_order_seq_cst);
      worker.sleeper.wake();
    }
  }

  void work(Worker& self) noexcept {
    if (self.pinned_to >= 0) pin_this_thread(self.pinned_to);
    for (;;) {
      self.sleeper.sleep_until([&] { return !self.parked.load(std::memory_order_seq_cst); });
      const Epoch seen = wait_for_epoch_after(self.done.load(std::memory_order_relaxed), self);
      if (function == nullptr) return;
      function(context, self.index);
      if (self.index < 0) self.parked.store(true, std::memory_order_relaxed);
      self.cpu.store(::sched_getcpu(), std::memory_order_relaxed);
      self.done.store(seen, std::memory_order_seq_cst);
      if (caller_sleeps.load(std::memory_order_seq_cst)) self.done.notify_one();
    }
  }

  void run(RunFn run_function, void* run_context) noexcept {
    if (size() > 1) publish(run_function, run_context);
    run_function(run_context, 0);
    wait_for_workers();
  }

  // Covers `count` items of every group; a group's workers do its items, with `steal` the others
  // too.
  void hand_out(std::span<Group> groups, Grain grain, Steal steal, ForFn body,
                void* body_context) noexcept;

 private:
  // The caller and every worker that it woke share this: waking is a system call of several
  // microseconds, which one thread after the other would add up.
  void wake_workers() noexcept {
    const int count = static_cast<int>(workers.size());
    for (int i; (i = next_to_wake.fetch_add(1, std::memory_order_relaxed)) < count;)
      if (auto& worker = workers[static_cast<size_t>(i)]; worker.used) worker.sleeper.wake();
  }

  void place_workers() noexcept {
    size_t thread = 0;  // of all, the caller among them
    for (size_t n = 0; n < nodes.size(); ++n)
      for (size_t i = 0; i < static_cast<size_t>(nodes[n].threads); ++i, ++thread) {
        if (thread == 0) continue;
        const auto& cpus = nodes[n].cpus;
        if (!cpus.empty()) workers[thread - 1].pinned_to = cpus[i % cpus.size()];
      }
  }

  // Numbers so many workers node by node, as many of each as are its share.
  void number(int count) noexcept {
    int first = 0, thread = 0, threads_so_far = 0;
    for (size_t n = 0; n < nodes.size(); ++n) {
      threads_so_far += nodes[n].threads;
      const int share = (2 * count * threads_so_far + threads()) / (2 * threads());
      const int end = std::max(share, 1);  // the caller is of the first node
      by_node[n].first_worker = first;
      by_node[n].workers = end - first;
      std::fill(node_of.begin() + first, node_of.begin() + end, static_cast<int>(n));
      for (int i = 0; i < nodes[n].threads; ++i, ++thread)
        if (thread > 0)
          workers[static_cast<size_t>(thread) - 1].index = first + i < end ? first + i : -1;
      first = end;
    }
    everyone.workers = count;
  }

  void wait_for(Worker& worker, Epoch now) noexcept {
    const auto finished = [&] { return worker.done.load(std::memory_order_acquire) == now; };
    if (finished() || (spins && spin_until(finished, worker.cpu, spin_time))) return;
    caller_sleeps.store(true, std::memory_order_seq_cst);
    for (;;) {
      const Epoch done = worker.done.load(std::memory_order_seq_cst);
      if (done == now) break;
      worker.done.wait(done, std::memory_order_seq_cst);
    }
    caller_sleeps.store(false, std::memory_order_relaxed);
  }

  Epoch wait_for_epoch_after(Epoch seen, Worker& self) noexcept {
    const auto started = [&] { return epoch.load(std::memory_order_acquire) != seen; };
    if (started() || (spins && spin_until(started, caller_cpu, spin_time)))
      return epoch.load(std::memory_order_acquire);
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    self.sleeper.sleep_until([&] { return epoch.load(std::memory_order_seq_cst) != seen; });
    sleepers.fetch_sub(1, std::memory_order_relaxed);
    wake_workers();
    return epoch.load(std::memory_order_acquire);
  }
};

void WorkerPool::State::hand_out(std::span<Group> groups, Grain grain, Steal steal, ForFn body,
                                 void* body_context) noexcept {
  const auto do_chunk = [&](size_t g, int64_t chunk, int worker) noexcept {
    const int64_t begin = groups[g].begin_of(chunk);
    body(body_context, static_cast<int>(g), begin, begin + groups[g].items_of(chunk), worker);
  };
  int64_t chunks = 0;
  for (auto& group : groups) {
    group.start(grain);
    chunks += group.chunks;
  }
  if (chunks <= 1 || size() == 1) {
    for (size_t g = 0; g < groups.size(); ++g)
      for (int64_t chunk = 0; chunk < groups[g].chunks; ++chunk) do_chunk(g, chunk, 0);
    return;
  }
  auto job = [&](int worker) noexcept {
    const size_t own =
        groups.size() == 1 ? 0 : static_cast<size_t>(node_of[static_cast<size_t>(worker)]);
    for (int64_t chunk = worker - groups[own].first_worker; chunk < groups[own].chunks;
         chunk = groups[own].take())
      do_chunk(own, chunk, worker);
    for (size_t i = 1; i < groups.size(); ++i) {
      const size_t other = (own + i) % groups.size();
      if (steal == Steal::no && groups[other].workers > 0) continue;
      for (int64_t chunk = groups[other].take(); chunk < groups[other].chunks;
           chunk = groups[other].take())
        do_chunk(other, chunk, worker);
    }
  };
  run([](void* to, int worker) noexcept { (*static_cast<decltype(job)*>(to))(worker); }, &job);
}

namespace {

// A thread per worker; the operating system may refuse.
template <class State>
void start_threads(State& state) {
  int number = 0;
  for (auto& worker : state.workers) {
    worker.thread = std::thread([&state, &worker] {
      auto work = [&state, &worker] { state.work(worker); };
      call_on_huge_pages([](void* self) { (*static_cast<decltype(work)*>(self))(); }, &work);
    });
    const auto name = "ktx-worker-" + std::to_string(++number);
    ::pthread_setname_np(worker.thread.native_handle(), name.substr(0, 15).c_str());
  }
}

template <class State>
void stop_threads(State& state) noexcept {
  state.use(state.threads());
  state.publish(nullptr, nullptr);
  for (auto& worker : state.workers)
    if (worker.thread.joinable()) worker.thread.join();
}

}  // namespace

WorkerPool::WorkerPool(int threads, std::vector<int> cpus)
    : WorkerPool(std::vector<PoolNode>{{threads, std::move(cpus)}}) {}

WorkerPool::WorkerPool(std::vector<PoolNode> nodes) {
  require(!nodes.empty() && nodes.front().threads >= 1, "a worker pool needs at least one thread");
  for (const auto& node : nodes)
    require(node.threads >= 0, "a pool's node has less than no thread");
  state_ = std::make_unique<State>(std::move(nodes));
  try {
    start_threads(*state_);
  } catch (const std::exception& e) {
    const auto message = "can't start " + std::to_string(state_->size()) + " threads: " + e.what();
    stop_threads(*state_);
    throw_environment(message);
  }
}

WorkerPool::~WorkerPool() {
  stop_threads(*state_);
}

int WorkerPool::size() const noexcept {
  return state_->size();
}
int WorkerPool::nodes() const noexcept {
  return static_cast<int>(state_->nodes.size());
}
int WorkerPool::node_of(int worker) const noexcept {
  return state_->node_of[static_cast<size_t>(worker)];
}
int WorkerPool::threads_of(int node) const noexcept {
  return state_->by_node[static_cast<size_t>(node)].workers;
}
int WorkerPool::threads() const noexcept {
  return state_->threads();
}
void WorkerPool::use(int threads) noexcept {
  state_->use(threads);
}

void WorkerPool::spin_for(std::chrono::microseconds time) noexcept {
  state_->spin_time.store(time, std::memory_order_relaxed);
}

void WorkerPool::pin_caller() const noexcept {
  const auto& cpus = state_->nodes.front().cpus;
  if (!cpus.empty()) pin_this_thread(cpus.front());
}

void WorkerPool::run_raw(RunFn function, void* context) noexcept {
  state_->run(function, context);
}

void WorkerPool::for_all(int64_t count, Grain grain, ForFn function, void* context) noexcept {
  state_->everyone.count = count;
  state_->hand_out({&state_->everyone, 1}, grain, Steal::no, function, context);
}

void WorkerPool::set_count(int node, int64_t count) noexcept {
  state_->by_node[static_cast<size_t>(node)].count = count;
}

void WorkerPool::for_nodes(Grain grain, Steal steal, ForFn function, void* context) noexcept {
  state_->hand_out(state_->by_node, grain, steal, function, context);
}

}  // namespace ktx::hw
