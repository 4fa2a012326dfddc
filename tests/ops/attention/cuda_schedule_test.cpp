// The pages of a step dealt out to blocks: every page once, and no two rows' sums in one slot.
#include "ops/attention/cuda_schedule.hpp"

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "catch.hpp"

using ktx::ops::cuda::PageRange;
using ktx::ops::cuda::PageSchedule;

TEST_CASE("schedule of pages: parts cover the list, equal but for the last") {
  std::mt19937 random(1);
  for (int i = 0; i < 1000; ++i) {
    const PageSchedule schedule{int32_t(random() % 2000), int32_t(random() % 140 + 1)};
    INFO(schedule.pages << ' ' << schedule.groups);
    int32_t at = 0;
    for (int32_t g = 0; g < schedule.groups; ++g) {
      const PageRange part = schedule.part_of(g);
      REQUIRE(part.begin == at);
      REQUIRE(part.end >= part.begin);
      REQUIRE(part.end - part.begin <= schedule.part());
      at = part.end;
    }
    REQUIRE(at == schedule.pages);
  }
}

TEST_CASE("schedule of pages: the groups of a row have pages of it, and slots of their own") {
  std::mt19937 random(2);
  for (int i = 0; i < 300; ++i) {
    std::vector<PageRange> rows;
    PageSchedule schedule{0, int32_t(random() % 140 + 1)};
    for (uint32_t r = random() % 70 + 1; r > 0; --r) {
      const auto pages = int32_t(random() % (i % 2 == 0 ? 4 : 600) + 1);
      rows.push_back({schedule.pages, schedule.pages + pages});
      schedule.pages += pages;
    }
    std::set<int32_t> used;
    for (const PageRange& row : rows) {
      const int32_t first = schedule.first_group(row), last = schedule.last_group(row);
      for (int32_t g = 0; g < schedule.groups; ++g) {
        const PageRange part = schedule.part_of(g);
        const bool meets = std::max(part.begin, row.begin) < std::min(part.end, row.end);
        REQUIRE(meets == (first <= g && g <= last));
        if (!meets || first == last) continue;  // a row of one group leaves no partial sums
        const int32_t slot = schedule.slot(g, row);
        REQUIRE((slot >= 0 && slot < PageSchedule::slots(schedule.groups)));
        REQUIRE(used.insert(slot).second);
      }
    }
  }
}
