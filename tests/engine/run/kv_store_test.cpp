// Pages: who holds them, what a fork shares, and that a writer gets a copy of a shared page.
#include "engine/run/kv_store.hpp"

#include <cstring>
#include <set>
#include <thread>

#include "catch.hpp"

using namespace ktx;
using engine::KvSequence;
using engine::KvStore;

namespace {

const std::vector<graph::KvRow> rows{{.scaled = 8, .group = 8, .exact = 2}, {.scaled = 4}};

KvStore store_of(int64_t pages) {
  return KvStore(rows, graph::KvFormat::bf16, pages, hw::detect_machine());
}

/// A token's row of the second cache, as a number that tests write.
int64_t& row(KvStore& store, const KvSequence& sequence, int64_t token) {
  return *reinterpret_cast<int64_t*>(store.cache(1).row_of(
      sequence.pages()[token / graph::page_tokens], token % graph::page_tokens));
}

void grow(KvStore& store, KvSequence& sequence, int64_t tokens, int64_t mark) {
  REQUIRE(sequence.reserve(sequence.tokens() + tokens));
  for (int64_t t = 0; t < tokens; ++t) row(store, sequence, sequence.tokens() + t) = mark + t;
  sequence.append(tokens);
}

}  // namespace

TEST_CASE("caches of a store lie one after another") {
  KvStore store(rows, graph::KvFormat::bf16, 3, hw::detect_machine());
  CHECK(store.cache(0).row_bytes == 20);
  CHECK(store.cache(1).row_bytes == 8);
  CHECK(store.cache(1).data - store.cache(0).data == 3 * 64 * 20);
  CHECK(store.cache(0).row_of(2, 5) - store.cache(0).data == (2 * 64 + 5) * 20);
}

TEST_CASE("sequences take whole pages, never the same, and give them back") {
  KvStore store = store_of(4);
  {
    KvSequence a(store), b(store);
    CHECK(a.reserve(65));
    CHECK(b.reserve(64));
    CHECK(store.free_pages() == 1);
    CHECK(std::set{a.pages()[0], a.pages()[1], b.pages()[0]}.size() == 3);
    CHECK_FALSE(b.reserve(64 + 2 * 64));  // one more than there is: nothing changes
    CHECK(store.free_pages() == 1);
    CHECK(b.reserve(128));
    CHECK(store.free_pages() == 0);
    a.append(10);
    a.trim();
    CHECK(store.free_pages() == 1);
  }
  CHECK(store.free_pages() == 4);
}

TEST_CASE("rewinding keeps the pages of what is left") {
  KvStore store = store_of(4);
  KvSequence a(store);
  grow(store, a, 200, 1000);
  const int32_t first = a.pages()[0];
  a.rewind(64);
  CHECK(a.tokens() == 64);
  CHECK(store.free_pages() == 3);
  CHECK(a.pages()[0] == first);
  CHECK(row(store, a, 63) == 1063);
  a.rewind(0);
  CHECK(store.free_pages() == 4);
  CHECK_THROWS(a.rewind(1));
}

TEST_CASE("a fork shares pages until one of both writes") {
  KvStore store = store_of(6);
  KvSequence a(store);
  grow(store, a, 100, 1000);
  KvSequence b = a.fork(70);
  CHECK(store.free_pages() == 4);
  CHECK(b.pages()[1] == a.pages()[1]);
  grow(store, b, 3, 2000);  // its second page is shared: copied first
  CHECK(store.free_pages() == 3);
  CHECK(b.pages()[0] == a.pages()[0]);
  CHECK(b.pages()[1] != a.pages()[1]);
  CHECK(row(store, b, 69) == 1069);
  CHECK(row(store, b, 70) == 2000);
  CHECK(row(store, a, 70) == 1070);
  grow(store, a, 1, 3000);  // now its own alone: no copy
  CHECK(store.free_pages() == 3);
  CHECK(row(store, a, 100) == 3000);
}

TEST_CASE("the origin of a fork may end before it, and write as well") {
  KvStore store = store_of(4);
  auto a = std::make_unique<KvSequence>(store);
  grow(store, *a, 64 + 8, 1000);
  KvSequence b = a->fork(64 + 8);
  grow(store, *a, 1, 5000);  // a copies, b keeps the page
  CHECK(row(store, b, 64 + 7) == 1071);
  a.reset();
  CHECK(store.free_pages() == 2);
  CHECK(row(store, b, 0) == 1000);
  grow(store, b, 1, 6000);
  CHECK(store.free_pages() == 2);
}

TEST_CASE("a fork at a page's border, or of nothing, copies nothing") {
  KvStore store = store_of(4);
  KvSequence a(store);
  grow(store, a, 128, 0);
  KvSequence b = a.fork(64), none = a.fork(0);
  grow(store, b, 1, 7);
  grow(store, none, 1, 8);
  CHECK(store.free_pages() == 0);
  CHECK(row(store, a, 64) == 64);
}

TEST_CASE("a copy for which no page is free is refused") {
  KvStore store = store_of(1);
  KvSequence a(store);
  grow(store, a, 10, 0);
  KvSequence b = a.fork(10);
  CHECK_FALSE(b.reserve(11));
  CHECK(b.reserve(10));  // nothing new is to be written
  a.rewind(0);
  CHECK(b.reserve(11));  // the page is its own now
}

TEST_CASE("threads that take and give back pages lose none") {
  KvStore store = store_of(64);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&store] {
      for (int i = 0; i < 500; ++i) {
        KvSequence a(store);
        if (!a.reserve(64 * (i % 9))) continue;
        a.append(64 * (i % 9));
        const KvSequence b = a.fork(a.tokens() / 2);
        a.rewind(a.tokens() / 3);
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(store.free_pages() == 64);
}
