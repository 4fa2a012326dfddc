// Routes: different experts for a token, the same with every call, some experts busier than others.
#include "engine/bench/routing.hpp"

#include <algorithm>
#include <set>

#include "catch.hpp"

using ktx::engine::some_routes;

TEST_CASE("a token goes to different experts") {
  for (const auto& [experts, of_token] : {std::pair{256, 8}, std::pair{8, 8}, std::pair{1, 1}}) {
    const auto routes = some_routes(50, experts, of_token);
    REQUIRE(routes.size() == static_cast<size_t>(50 * of_token));
    for (auto token = routes.begin(); token != routes.end(); token += of_token) {
      const std::set<int32_t> chosen(token, token + of_token);
      CHECK(chosen.size() == static_cast<size_t>(of_token));
      CHECK(*chosen.begin() >= 0);
      CHECK(*chosen.rbegin() < experts);
    }
  }
  CHECK(some_routes(50, 256, 8) == some_routes(50, 256, 8));
}

TEST_CASE("experts are as unequally busy as a router's") {
  std::vector<int> load(256);
  for (const int32_t expert : some_routes(2048, 256, 8)) ++load[static_cast<size_t>(expert)];
  const auto [least, most] = std::minmax_element(load.begin(), load.end());
  CHECK(*most > 2 * 64);  // 64 is the mean
  CHECK(*most < 5 * 64);
  CHECK(*least < 64 / 2);
  CHECK(*least > 0);
}
