// The worker pool: workers spin on an epoch for a bounded time, then sleep on it.
#include "core/hw/worker_pool.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <string>
#include <thread>

#include "core/base/error.hpp"

namespace ktx::hw {

namespace {

// Long enough for the next operation of a layer to find the workers awake, short enough that they
// sleep well within a millisecond of a step's end.
constexpr std::chrono::microseconds spin_time{100};
constexpr int pauses_per_clock_read = 32;

void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

int available_cpus() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());  // more CPUs than a cpu_set_t holds
}

void pin_this_thread(int cpu) noexcept {
  if (cpu < 0 || cpu >= CPU_SETSIZE) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
}

// Spins until done() or until the time is up; says which. The awaited thread was last seen on CPU
// `other`: spinning there would only keep it from running.
template <class Done>
bool spin_until(const Done& done, const std::atomic<int>& other) noexcept {
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < pauses_per_clock_read; ++i) {
      if (done()) return true;
      pause();
    }
    if (other.load(std::memory_order_relaxed) == ::sched_getcpu()) return done();
  } while (std::chrono::steady_clock::now() - start < spin_time);
  return done();
}

using Epoch = uint32_t;  // a size that std::atomic::wait hands to the futex as it is

// On a cache line of its own: the caller polls these one after the other.
struct alignas(64) Worker {
  std::atomic<Epoch> done{0};  // the last epoch this worker has finished
  std::atomic<int> cpu{-1};    // and where it did so
  std::thread thread;
};

}  // namespace

// A run is: the caller writes the job, then the epoch; every worker sees the new epoch, does the
// job and writes the epoch to its `done`; the caller waits for each of these. Sequential
// consistency of `epoch` and `done` against `sleepers` and `caller_sleeps` is what makes a lost
// wake-up impossible: whoever goes to sleep announces it first and then looks again.
struct WorkerPool::State {
  // What the workers read at the start of a run lies on one line.
  alignas(64) std::atomic<Epoch> epoch{0};
  std::atomic<int> caller_cpu{-1};
  RunFn function = nullptr;  // nullptr: end the thread
  void* context = nullptr;

  alignas(64) std::atomic<int> sleepers{0};
  std::atomic<bool> caller_sleeps{false};

  alignas(64) std::atomic<int64_t> next_chunk{0};

  alignas(64) bool spins = true;
  std::vector<int> cpus;
  std::vector<Worker> workers;  // worker i + 1 is workers[i]

  explicit State(int threads, std::vector<int> pin_to)
      : spins(threads <= available_cpus()),
        cpus(std::move(pin_to)),
        workers(static_cast<size_t>(threads - 1)) {}

  int size() const noexcept { return static_cast<int>(workers.size()) + 1; }

  // Starts the workers' next run.
  void publish(RunFn run_function, void* run_context) noexcept {
    function = run_function;
    context = run_context;
    caller_cpu.store(::sched_getcpu(), std::memory_order_relaxed);
    epoch.store(epoch.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) > 0) epoch.notify_all();
  }

  void wait_for_workers() noexcept {
    const Epoch now = epoch.load(std::memory_order_relaxed);
    for (auto& worker : workers) wait_for(worker, now);
  }

  void work(int index) noexcept {
    if (!cpus.empty()) pin_this_thread(cpus[static_cast<size_t>(index) % cpus.size()]);
    Worker& self = workers[static_cast<size_t>(index) - 1];
    for (Epoch seen = 0;;) {
      seen = wait_for_epoch_after(seen);
      if (function == nullptr) return;
      function(context, index);
      self.cpu.store(::sched_getcpu(), std::memory_order_relaxed);
      self.done.store(seen, std::memory_order_seq_cst);
      if (caller_sleeps.load(std::memory_order_seq_cst)) self.done.notify_one();
    }
  }

 private:
  void wait_for(Worker& worker, Epoch now) noexcept {
    const auto finished = [&] { return worker.done.load(std::memory_order_acquire) == now; };
    if (finished() || (spins && spin_until(finished, worker.cpu))) return;
    caller_sleeps.store(true, std::memory_order_seq_cst);
    for (;;) {
      const Epoch done = worker.done.load(std::memory_order_seq_cst);
      if (done == now) break;
      worker.done.wait(done, std::memory_order_seq_cst);
    }
    caller_sleeps.store(false, std::memory_order_relaxed);
  }

  Epoch wait_for_epoch_after(Epoch seen) noexcept {
    const auto started = [&] { return epoch.load(std::memory_order_acquire) != seen; };
    if (started() || (spins && spin_until(started, caller_cpu)))
      return epoch.load(std::memory_order_acquire);
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    epoch.wait(seen, std::memory_order_seq_cst);
    sleepers.fetch_sub(1, std::memory_order_relaxed);
    return epoch.load(std::memory_order_acquire);
  }
};

namespace {

// A thread per worker; the operating system may refuse.
template <class State>
void start_threads(State& state) {
  for (int i = 1; i < state.size(); ++i) {
    auto& thread = state.workers[static_cast<size_t>(i) - 1].thread;
    thread = std::thread([&state, i] { state.work(i); });
    const auto name = "ktx-worker-" + std::to_string(i);
    ::pthread_setname_np(thread.native_handle(), name.substr(0, 15).c_str());
  }
}

template <class State>
void stop_threads(State& state) noexcept {
  state.publish(nullptr, nullptr);
  for (auto& worker : state.workers)
    if (worker.thread.joinable()) worker.thread.join();
}

}  // namespace

WorkerPool::WorkerPool(int threads, std::vector<int> cpus) {
  require(threads >= 1, "a worker pool needs at least one thread");
  state_ = std::make_unique<State>(threads, std::move(cpus));
  try {
    start_threads(*state_);
  } catch (const std::exception& e) {
    stop_threads(*state_);
    throw_environment("can't start " + std::to_string(threads) + " threads: " + e.what());
  }
}

WorkerPool::~WorkerPool() {
  stop_threads(*state_);
}

int WorkerPool::size() const noexcept {
  return state_->size();
}

void WorkerPool::run_raw(RunFn function, void* context) noexcept {
  if (state_->size() > 1) state_->publish(function, context);
  function(context, 0);
  state_->wait_for_workers();
}

void WorkerPool::for_raw(int64_t count, int64_t grain, ForFn function, void* context) noexcept {
  if (count <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  const int64_t chunks = (count - 1) / grain + 1;
  const auto do_chunk = [&](int64_t chunk, int worker) noexcept {
    const int64_t begin = chunk * grain;
    function(context, begin, begin + std::min(grain, count - begin), worker);
  };
  const int workers = state_->size();
  if (chunks == 1 || workers == 1) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) do_chunk(chunk, 0);
    return;
  }
  // Each worker's first chunk is its own: one contended addition less per worker, none when there
  // is a worker for every chunk.
  auto& next = state_->next_chunk;
  next.store(workers, std::memory_order_relaxed);
  run([&](int worker) noexcept {
    int64_t chunk = worker;
    while (chunk < chunks) {
      do_chunk(chunk, worker);
      chunk = chunks <= workers ? chunks : next.fetch_add(1, std::memory_order_relaxed);
    }
  });
}

}  // namespace ktx::hw
