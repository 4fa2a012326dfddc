// A wake-up at every moment of going to sleep: the tested one makes it happen from within is_so().
#include "core/hw/sleeper.hpp"

#include <thread>

#include "catch.hpp"

using ktx::hw::Sleeper;

namespace {

// Does a sleeper return when it becomes so right after its look number `look`? If not, it is let go
// after many looks at it.
bool wakes_after_look(int look) {
  Sleeper sleeper;
  std::atomic<bool> so{false}, returned{false}, sleeps{false};
  std::thread thread([&] {
    int looks = 0;
    sleeper.sleep_until([&] {
      const bool seen = so.load();
      if (++looks == look) {
        so.store(true);
        sleeper.wake();
      }
      return seen;
    });
    returned = true;
  });
  // Far more looks than it needs; a sleep that was not woken lasts.
  for (int i = 0; i < 20'000 && !returned; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const bool woke = returned;
  so = true;
  while (!returned) {
    sleeper.wake();
    std::this_thread::yield();
  }
  thread.join();
  return woke;
}

}  // namespace

TEST_CASE("a wake-up between any look of a sleeper and its sleep is not lost") {
  CHECK(wakes_after_look(1));  // between the first look and the announcement
  CHECK(wakes_after_look(2));  // between the second look and the sleep
}

TEST_CASE("a sleeper does not sleep when it is so, and sleeps on when it is not") {
  Sleeper sleeper;
  int looks = 0;
  sleeper.sleep_until([&] { return ++looks > 0; });
  CHECK(looks == 1);
  std::atomic<bool> so{false};
  std::atomic<int> seen{0};
  std::thread thread([&] {
    sleeper.sleep_until([&] {
      ++seen;
      return so.load();
    });
  });
  while (seen < 2) std::this_thread::yield();
  sleeper.wake();  // it is not so: it looks twice again
  while (seen < 4) {
    sleeper.wake();
    std::this_thread::yield();
  }
  so = true;
  sleeper.wake();
  thread.join();
  CHECK(seen >= 5);
}
