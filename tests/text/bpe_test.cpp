// Merging against its plain definition.
#include "text/bpe.hpp"

#include <map>
#include <random>

#include "catch.hpp"

using ktx::text::Bpe;

namespace {

using Symbols = std::vector<int32_t>;
using Rules = std::map<std::pair<int32_t, int32_t>, std::pair<size_t, int32_t>>;

Symbols merged(const Bpe& bpe, Symbols symbols) {
  bpe.merge(symbols);
  return symbols;
}

// The definition, with a search of the whole for every merge.
Symbols merged_plainly(const Rules& rules, Symbols s) {
  while (true) {
    size_t best = s.size(), rank = ~size_t{0};
    for (size_t i = 0; i + 1 < s.size(); ++i)
      if (const auto r = rules.find({s[i], s[i + 1]}); r != rules.end() && r->second.first < rank) {
        rank = r->second.first;
        best = i;
      }
    if (best == s.size()) return s;
    s[best] = rules.at({s[best], s[best + 1]}).second;
    s.erase(s.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

}  // namespace

TEST_CASE("the lowest rank merges first, the leftmost of equals") {
  Bpe bpe;
  bpe.add(2, 3, 10);
  bpe.add(1, 2, 11);
  bpe.add(1, 10, 12);
  bpe.add(1, 1, 13);
  CHECK(merged(bpe, {1, 2, 3}) == Symbols{12});
  CHECK(merged(bpe, {1, 2, 4}) == Symbols{11, 4});
  CHECK(merged(bpe, {1, 1, 1}) == Symbols{13, 1});
  CHECK(merged(bpe, {5}) == Symbols{5});
  CHECK(merged(bpe, {}).empty());
  CHECK(bpe.size() == 4);
}

TEST_CASE("a repeated pair takes the later rank and result") {
  Bpe bpe;
  bpe.add(1, 2, 10);
  bpe.add(2, 3, 11);
  bpe.add(1, 2, 12);
  CHECK(merged(bpe, {1, 2, 3}) == Symbols{1, 11});
  CHECK(merged(bpe, {1, 2}) == Symbols{12});
  CHECK(bpe.size() == 2);
}

TEST_CASE("short and long pieces merge as the definition says") {
  std::mt19937 random(5);
  for (int round = 0; round < 60; ++round) {
    Bpe bpe(round % 2 == 0 ? 0 : 500);
    Rules rules;
    const int letters = 2 + round % 4;
    int32_t next = letters;
    for (size_t rank = 0; rank < 40; ++rank) {
      const auto left = static_cast<int32_t>(random() % static_cast<unsigned>(next));
      const auto right = static_cast<int32_t>(random() % static_cast<unsigned>(next));
      if (rules.contains({left, right})) {
        bpe.add(left, right, next);
        rules[{left, right}] = {rank, next++};
        continue;
      }
      rules[{left, right}] = {rank, next};
      bpe.add(left, right, next++);
    }
    for (const size_t n : {2u, 7u, 31u, 32u, 33u, 34u, 100u, 300u}) {
      Symbols s(n);
      for (auto& symbol : s)
        symbol = static_cast<int32_t>(random() % static_cast<unsigned>(letters));
      REQUIRE(merged(bpe, s) == merged_plainly(rules, s));
    }
  }
}

TEST_CASE("a piece of millions of symbols is merged") {
  // Quadratic merging would take 10^13 steps and ctest's time limit end it.
  Bpe bpe;
  for (int32_t i = 0; i < 12; ++i) bpe.add(i, i, i + 1);
  Symbols s(4'000'000, 0);
  bpe.merge(s);
  CHECK(s.size() == 976 + 2);  // 976 times 4096, then 2304 = 2048 + 256
}

// Pairs that a hash with a multiplier known to the file's author would put side by side.
TEST_CASE("no file can choose pairs that take long to find") {
  constexpr uint64_t multiplier = 0x9E3779B97F4A7C15u;
  constexpr int rules = 5000;
  Bpe hostile(rules);
  int32_t left = 0, right = 0;
  for (int found = 0; found < rules; ++left)
    for (right = 0; right < 2000 && found < rules; ++right)
      if (const uint64_t pair = uint64_t(left) << 32 | uint64_t(right);
          pair * multiplier >> 56 == 7) {
        hostile.add(left, right, found);
        ++found;
      }
  CHECK(hostile.size() == rules);
  CHECK(hostile.longest_search() < 500);
}
