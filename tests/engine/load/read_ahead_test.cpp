// Every block is read and consumed once, and failures end both sides.
#include "engine/load/read_ahead.hpp"

#include <atomic>
#include <cstring>
#include <stdexcept>

#include "catch.hpp"

using namespace ktx;
using engine::ReadAhead;

TEST_CASE("several consumers get every block once, with its bytes") {
  constexpr int64_t blocks = 2000;
  constexpr int consumers = 3;
  std::vector<std::atomic<int>> seen(blocks);
  std::atomic<int> wrong{0}, in_flight{0}, most{0};
  ReadAhead ahead(blocks, 5000, consumers, [&](int64_t block, std::span<std::byte> buffer) {
    const int now = ++in_flight;
    int before = most.load();
    while (now > before && !most.compare_exchange_weak(before, now)) {
    }
    wrong += buffer.size() < 5000;
    std::byte* at = buffer.data() + block % 100;
    std::memcpy(at, &block, sizeof block);
    return at;
  });
  const auto consume = [&] {
    while (const auto block = ahead.take()) {
      int64_t number = -1;
      std::memcpy(&number, block->bytes, sizeof number);
      wrong += number != block->index;
      ++seen[static_cast<size_t>(block->index)];
      --in_flight;
      ahead.give_back(*block);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < consumers; ++i) threads.emplace_back(consume);
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(std::all_of(seen.begin(), seen.end(), [](const auto& n) { return n == 1; }));
  // No more was ever read than buffers hold.
  CHECK(most * uint64_t{8192} <= ReadAhead::memory_bytes(blocks, 5000, consumers));
  CHECK_NOTHROW(ahead.rethrow());
}

TEST_CASE("no blocks, and fewer blocks than buffers") {
  const auto nothing = [](int64_t, std::span<std::byte> buffer) { return buffer.data(); };
  ReadAhead none(0, 100, 2, nothing);
  CHECK_FALSE(none.take());
  ReadAhead one(1, 100, 2, nothing);
  CHECK(one.take()->index == 0);
  CHECK_FALSE(one.take());
  CHECK(ReadAhead::memory_bytes(1, 100, 2) == 4096);
}

TEST_CASE("a source that needs no scratch is read without memory") {
  const std::byte own[2] = {};
  ReadAhead ahead(100, 0, 2, [&own](int64_t, std::span<std::byte>) { return own; });
  CHECK(ReadAhead::memory_bytes(100, 0, 2) == 0);
  int taken = 0;
  while (const auto block = ahead.take()) {
    CHECK(block->bytes == own);
    ++taken;
    ahead.give_back(*block);
  }
  CHECK(taken == 100);
}

TEST_CASE("a reader's failure ends the consumers and is thrown on") {
  ReadAhead ahead(100, 100, 1, [](int64_t block, std::span<std::byte> buffer) {
    if (block == 50) throw std::runtime_error("the disk is gone");
    return buffer.data();
  });
  int taken = 0;
  while (const auto block = ahead.take()) {
    ++taken;
    ahead.give_back(*block);
  }
  CHECK(taken < 100);
  CHECK_THROWS_WITH(ahead.rethrow(), "the disk is gone");
}

TEST_CASE("a consumer's failure ends the readers; the first failure counts") {
  ReadAhead ahead(1'000'000, 100, 1,
                  [](int64_t, std::span<std::byte> buffer) { return buffer.data(); });
  REQUIRE(ahead.take());
  ahead.fail(std::make_exception_ptr(std::runtime_error("first")));
  ahead.fail(std::make_exception_ptr(std::runtime_error("second")));
  CHECK_FALSE(ahead.take());
  CHECK_THROWS_WITH(ahead.rethrow(), "first");
}
