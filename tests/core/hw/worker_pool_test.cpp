// The worker pool: every worker runs, every index is covered once, under stress, and it sleeps.
#include "core/hw/worker_pool.hpp"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <filesystem>
#include <fstream>
#include <memory>
#include <numeric>
#include <set>
#include <thread>

#include "catch.hpp"
#include "core/base/failure.hpp"

using namespace ktx;
using namespace ktx::hw;

namespace {

// Workers of this process that the system says are asleep.
int sleeping_workers() {
  int count = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string stat;
    std::getline(std::ifstream(task.path() / "stat"), stat);  // id (name) state ...
    const size_t end = stat.rfind(')');
    if (stat.find("(ktx-worker-") != std::string::npos && end + 2 < stat.size())
      count += stat[end + 2] == 'S';
  }
  return count;
}

}  // namespace

TEST_CASE("run calls every worker exactly once") {
  for (int size = 1; size <= 8; ++size) {
    WorkerPool pool(size);
    REQUIRE(pool.size() == size);
    std::vector<int> calls(static_cast<size_t>(size));
    const auto caller = std::this_thread::get_id();
    bool caller_is_worker_0 = false;
    for (int i = 0; i < 200; ++i)
      pool.run([&](int worker) noexcept {
        ++calls[static_cast<size_t>(worker)];  // unguarded: each worker its own
        if (worker == 0) caller_is_worker_0 = std::this_thread::get_id() == caller;
      });
    REQUIRE(calls == std::vector<int>(static_cast<size_t>(size), 200));
    REQUIRE(caller_is_worker_0);
  }
}

TEST_CASE("parallel_for covers every index once, in chunks of at most the grain") {
  for (int size = 1; size <= 8; ++size) {
    WorkerPool pool(size);
    for (const int64_t count : {0, 1, 2, 3, 7, 8, 9, 63, 64, 65, 1000})
      for (const int64_t grain : {1, 2, 3, 8, 64, 999, 1000, 5000}) {
        INFO(size << " workers, count " << count << ", grain " << grain);
        std::vector<int> hits(static_cast<size_t>(count));
        std::atomic<int> bad{0};
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end, int worker) noexcept {
          if (begin < 0 || begin >= end || end > count || end - begin > grain) ++bad;
          if (worker < 0 || worker >= size) ++bad;
          for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
        });
        REQUIRE(bad == 0);
        REQUIRE(hits == std::vector<int>(static_cast<size_t>(count), 1));
      }
  }
}

TEST_CASE("the last chunks are smaller, and all are still covered once") {
  for (const int size : {1, 2, 5}) {
    WorkerPool pool(size);
    for (const int64_t count : {0, 1, 8, 9, 30, 64, 1001}) {
      std::vector<int> hits(static_cast<size_t>(count));
      std::vector<int64_t> begins(static_cast<size_t>(count) + 1, 0);  // -> items of that chunk
      pool.parallel_for(count, {8, 3}, [&](int64_t begin, int64_t end, int) noexcept {
        begins[static_cast<size_t>(begin)] = end - begin;
        for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
      });
      INFO(size << " workers, count " << count);
      REQUIRE(hits == std::vector<int>(static_cast<size_t>(count), 1));
      if (size == 1 || count <= 8) continue;
      // Whole chunks, and behind them small ones: more than one chunk's worth a worker.
      int64_t small = 0, whole = 0;
      for (const int64_t items : begins) {
        REQUIRE(items <= (small > 0 ? 3 : 8));
        (items == 8 ? whole : small) += items;
      }
      REQUIRE(small >= std::min<int64_t>(count, 8 * size));
      REQUIRE(small < 8 * (size + 1));
      REQUIRE(small + whole == count);
    }
  }
}

TEST_CASE("workers that are not in use sleep, the others are numbered node by node") {
  WorkerPool pool({{4, {}}, {0, {}}, {2, {}}});
  const std::vector<std::vector<int>> nodes_of{{0},          {0, 2},          {0, 0, 2},
                                               {0, 0, 0, 2}, {0, 0, 0, 2, 2}, {0, 0, 0, 0, 2, 2}};
  REQUIRE(pool.threads() == 6);
  for (const int count : {3, 6, 1, 2, 5, 5, 4, 6, 0, 7, 3}) {
    pool.use(count);
    const auto& nodes = nodes_of[static_cast<size_t>(std::clamp(count, 1, 6)) - 1];
    REQUIRE(pool.size() == static_cast<int>(nodes.size()));
    REQUIRE(pool.threads() == 6);
    for (int node = 0; node < 3; ++node)
      REQUIRE(pool.threads_of(node) == std::ranges::count(nodes, node));
    std::vector<int> calls(6);
    for (int round = 0; round < 20; ++round)
      pool.run([&](int worker) noexcept { ++calls[static_cast<size_t>(worker)]; });
    for (size_t worker = 0; worker < nodes.size(); ++worker) {
      REQUIRE(calls[worker] == 20);
      REQUIRE(pool.node_of(static_cast<int>(worker)) == nodes[worker]);
    }
    REQUIRE(std::accumulate(calls.begin(), calls.end(), 0) == 20 * pool.size());
  }
}

TEST_CASE("of nodes of one worker some lose it where more are used, and all that are used run") {
  for (const int nodes : {4, 8}) {
    std::vector<std::atomic<int>> calls(static_cast<size_t>(nodes));
    std::atomic<int> unnumbered{0};
    // As old as the pool: a worker that repeats a run is seen too.
    const auto body = [&](int worker) noexcept {
      ++(worker < 0 ? unnumbered : calls[static_cast<size_t>(worker)]);
    };
    WorkerPool pool(std::vector(static_cast<size_t>(nodes), PoolNode{1, {}}));
    for (int from = 1; from <= nodes; ++from)
      for (int to = 1; to <= nodes; ++to)
        for (const int count : {from, to}) {
          INFO(nodes << " nodes, from " << from << " to " << to << ", now " << count);
          for (auto& called : calls) called = 0;
          pool.use(count);
          std::this_thread::sleep_for(std::chrono::milliseconds(1));  // for who runs unasked
          for (int round = 0; round < 2; ++round) pool.run(body);
          REQUIRE(unnumbered == 0);
          for (int worker = 0; worker < nodes; ++worker)
            REQUIRE(calls[static_cast<size_t>(worker)] == (worker < count ? 2 : 0));
        }
  }
}

TEST_CASE("a pool changes hands often, with and without runs between") {
  for (const int size : {2, 5}) {
    WorkerPool pool(size);
    int64_t calls = 0;
    std::atomic<int64_t> called{0};
    for (int i = 0; i < 3000; ++i) {
      pool.use(1 + i * 7 % 11 % size);
      for (int run = i % 3; run > 0; --run) {
        pool.run([&](int) noexcept { ++called; });
        calls += pool.size();
      }
      if (i % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    REQUIRE(called == calls);
  }
}

TEST_CASE("what fits one chunk runs on the caller") {
  WorkerPool pool(4);
  const auto caller = std::this_thread::get_id();
  int calls = 0;
  pool.parallel_for(10, 10, [&](int64_t begin, int64_t end, int worker) noexcept {
    calls +=
        begin == 0 && end == 10 && worker == 0 && std::this_thread::get_id() == caller ? 1 : 100;
  });
  REQUIRE(calls == 1);
}

TEST_CASE("odd counts and grains") {
  WorkerPool pool(3);
  int calls = 0;
  pool.parallel_for(-5, 1, [&](int64_t, int64_t, int) noexcept { ++calls; });
  REQUIRE(calls == 0);
  std::atomic<int64_t> sum{0};
  for (const int64_t grain : {int64_t{0}, int64_t{-7}, INT64_MIN})  // taken as 1
    pool.parallel_for(5, grain,
                      [&](int64_t begin, int64_t end, int) noexcept { sum += end - begin; });
  REQUIRE(sum == 15);
  std::atomic<int64_t> covered{0};
  std::atomic<int> chunks{0};
  pool.parallel_for(INT64_MAX, INT64_MAX / 2, [&](int64_t begin, int64_t end, int) noexcept {
    covered += end - begin;
    ++chunks;
  });
  REQUIRE(covered == INT64_MAX);
  REQUIRE(chunks == 3);
}

TEST_CASE("many tiny runs see each other's results") {
  for (const int size : {2, 3, 8}) {
    WorkerPool pool(size);
    std::vector<int64_t> values(64, 0);
    for (int round = 0; round < 1000; ++round) {
      // Each round reads what another worker wrote in the one before.
      std::vector<int64_t> next(values.size());
      pool.parallel_for(64, 4, [&](int64_t begin, int64_t end, int) noexcept {
        for (int64_t i = begin; i < end; ++i)
          next[static_cast<size_t>(i)] = values[static_cast<size_t>((i + 17) % 64)] + 1;
      });
      values.swap(next);
    }
    REQUIRE(values == std::vector<int64_t>(64, 1000));
  }
}

TEST_CASE("runs after pauses of all lengths wake the workers") {
  for (const int size : {2, 4}) {  // on a small machine 2 spin and 4 do not
    WorkerPool pool(size);
    std::atomic<int> calls{0};
    int runs = 0;
    for (int round = 0; round < 10; ++round)
      for (const int microseconds : {0, 20, 80, 95, 100, 105, 130, 500, 2000}) {
        std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
        pool.run([&](int) noexcept { ++calls; });
        ++runs;
      }
    REQUIRE(calls == size * runs);
  }
}

TEST_CASE("a caller that waits long for a worker is woken") {
  WorkerPool pool(2);
  std::atomic<int> done{0};
  for (const int milliseconds : {0, 1, 5})
    pool.run([&](int worker) noexcept {
      if (worker == 1) std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
      ++done;
    });
  REQUIRE(done == 6);
}

TEST_CASE("pools come and go, used or not") {
  for (int i = 0; i < 100; ++i) {
    WorkerPool pool(1 + i % 8);
    if (i % 3 == 0) continue;
    std::atomic<int> calls{0};
    pool.run([&](int) noexcept { ++calls; });
    REQUIRE(calls == pool.size());
  }
}

TEST_CASE("pools inside of pools, and two at a time") {
  WorkerPool outer(2);
  WorkerPool first(2), second(3);
  std::atomic<int> calls{0};
  for (int i = 0; i < 200; ++i)
    outer.run([&](int worker) noexcept {
      auto& inner = worker == 0 ? first : second;
      inner.parallel_for(12, 1, [&](int64_t, int64_t, int) noexcept { ++calls; });
    });
  REQUIRE(calls == 200 * 2 * 12);
}

TEST_CASE("bodies may be lvalues, const and stateful") {
  WorkerPool pool(2);
  std::atomic<int> calls{0};
  const auto body = [&calls](int) noexcept { ++calls; };
  pool.run(body);
  struct Counter {
    std::atomic<int> count{0};
    void operator()(int64_t begin, int64_t end, int) noexcept {
      count += static_cast<int>(end - begin);
    }
  } counter;
  pool.parallel_for(100, 7, counter);
  REQUIRE(calls == 2);
  REQUIRE(counter.count == 100);
}

TEST_CASE("workers are pinned where asked, the caller is not") {
  cpu_set_t allowed;
  REQUIRE(::sched_getaffinity(0, sizeof allowed, &allowed) == 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(static_cast<unsigned>(cpu), &allowed)) cpus.push_back(cpu);
  WorkerPool pool(3, cpus);
  std::vector<cpu_set_t> sets(3);
  pool.run([&](int worker) noexcept {
    ::sched_getaffinity(0, sizeof(cpu_set_t), &sets[static_cast<size_t>(worker)]);
  });
  REQUIRE(CPU_EQUAL(&sets[0], &allowed));
  for (size_t i = 1; i < 3; ++i) {
    REQUIRE(CPU_COUNT(&sets[i]) == 1);
    REQUIRE(CPU_ISSET(static_cast<unsigned>(cpus[i % cpus.size()]), &sets[i]));
  }
}

TEST_CASE("workers are numbered node by node") {
  WorkerPool pool({{2, {}}, {0, {}}, {3, {}}});
  REQUIRE(pool.size() == 5);
  REQUIRE(pool.nodes() == 3);
  const std::vector<int> nodes{0, 0, 2, 2, 2};
  for (int worker = 0; worker < pool.size(); ++worker)
    REQUIRE(pool.node_of(worker) == nodes[static_cast<size_t>(worker)]);
  REQUIRE(pool.threads_of(0) == 2);
  REQUIRE(pool.threads_of(1) == 0);
  REQUIRE(WorkerPool(4).nodes() == 1);
}

TEST_CASE("each node's items are covered once, by its own workers unless stealing is allowed") {
  const std::vector<std::vector<int>> shapes{{1}, {4}, {1, 1}, {2, 3}, {3, 0, 1}, {1, 1, 1, 1, 2}};
  for (const auto& threads : shapes)
    for (const auto steal : {Steal::no, Steal::yes})
      for (const int64_t grain : {1, 3, 50})
        for (const int round : {0, 1, 2, 3}) {
          std::vector<PoolNode> nodes;
          std::vector<int64_t> counts;
          for (size_t n = 0; n < threads.size(); ++n) {
            nodes.push_back({threads[n], {}});
            counts.push_back(round == 0   ? 0
                             : round == 1 ? 1
                                          : (n + 1) * 37 % (50 * round) * (n % 2 == 0));
          }
          WorkerPool pool(nodes);
          std::vector<std::vector<int>> hits;
          for (const int64_t count : counts) hits.emplace_back(static_cast<size_t>(count));
          std::atomic<int> bad{0}, chunks{0};
          const auto count = [&](int node) { return counts[static_cast<size_t>(node)]; };
          pool.parallel_for_nodes(
              count, grain, steal, [&](int node, int64_t begin, int64_t end, int worker) noexcept {
                const auto n = static_cast<size_t>(node);
                if (begin < 0 || begin >= end || end > counts[n] || end - begin > grain) ++bad;
                const bool own = pool.node_of(worker) == node || pool.threads_of(node) == 0;
                if (steal == Steal::no && !own) bad += worker == 0 ? 1 : 1000;
                ++chunks;
                for (int64_t i = begin; i < end; ++i) ++hits[n][static_cast<size_t>(i)];
              });
          INFO(threads.size() << " nodes, grain " << grain << ", round " << round);
          // The caller alone does what fits one chunk.
          REQUIRE((bad == 0 || (bad == 1 && chunks == 1)));
          for (size_t n = 0; n < counts.size(); ++n)
            REQUIRE(hits[n] == std::vector<int>(static_cast<size_t>(counts[n]), 1));
        }
}

TEST_CASE("a worker whose node is done steals") {
  WorkerPool pool({{1, {}}, {1, {}}});
  const auto count = [](int node) { return node == 0 ? 0 : 6; };
  std::atomic<int> by_caller{0};
  pool.parallel_for_nodes(count, 1, Steal::yes, [&](int, int64_t, int64_t, int worker) noexcept {
    if (worker == 0) ++by_caller;
    // The node's own worker holds its first item until the caller has taken one.
    while (worker == 1 && by_caller == 0) std::this_thread::yield();
  });
  REQUIRE(by_caller >= 1);
}

TEST_CASE("a caller that serves the pool alone is pinned to worker 0's CPU") {
  const int cpu = ::sched_getcpu();
  WorkerPool pool({{1, {cpu}}, {1, {cpu}}}), anywhere(2);
  cpu_set_t before, free, pinned;
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  std::thread([&] {
    anywhere.pin_caller();
    ::sched_getaffinity(0, sizeof free, &free);
    pool.pin_caller();
    ::sched_getaffinity(0, sizeof pinned, &pinned);
  }).join();
  REQUIRE(CPU_EQUAL(&free, &before));
  REQUIRE(CPU_COUNT(&pinned) == 1);
  REQUIRE(CPU_ISSET(static_cast<unsigned>(cpu), &pinned));
}

TEST_CASE("CPUs that do not exist are no error") {
  WorkerPool pool(3, {-1, 1'000'000, 1023});
  std::atomic<int> calls{0};
  pool.run([&](int) noexcept { ++calls; });
  REQUIRE(calls == 3);
}

TEST_CASE("idle workers sleep") {
  for (const int size : {2, 4}) {
    WorkerPool pool(size);
    pool.run([](int) noexcept {});
    int looks = 0;  // a worker that spins is never seen asleep
    while (sleeping_workers() < size - 1 && ++looks < 20'000)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    CHECK(sleeping_workers() == size - 1);
  }
}

TEST_CASE("a pool of no thread is a bug") {
  REQUIRE(test::failure([] { WorkerPool{0}; }) == "bug a worker pool needs at least one thread");
  REQUIRE(test::failure([] { WorkerPool{-3}; }) == "bug a worker pool needs at least one thread");
  REQUIRE(test::failure([] {
            WorkerPool({{0, {}}, {2, {}}});
          }) == "bug a worker pool needs at least one thread");
  REQUIRE(test::failure([] {
            WorkerPool({{1, {}}, {-1, {}}});
          }) == "bug a pool's node has less than no thread");
}
