// Places by the names that rules give devices.
#include "core/device/place.hpp"

#include "catch.hpp"

using namespace ktx::device;

TEST_CASE("device names are read and written") {
  REQUIRE(parse_device("cpu") == Place{DeviceKind::cpu, 0});
  REQUIRE(parse_device("cuda:0") == Place{DeviceKind::cuda, 0});
  REQUIRE(parse_device("cuda:17") == Place{DeviceKind::cuda, 17});
  for (const char* name : {"cpu", "cuda:0", "cuda:17", "cuda:9999"})
    REQUIRE(to_string(parse_device(name).value()) == name);
}

TEST_CASE("what is no device name") {
  for (const char* text :
       {"", "cpu:", "cpu:0", "cuda", "cuda:", "cuda:-1", "cuda:+1", "cuda: 1", "cuda:1x",
        "cuda:1:2", "cuda:10000", "cuda:99999999999", "CPU", "gpu:0", "disk", ":0", "cpu "}) {
    INFO("'" << text << "'");
    CHECK_FALSE(parse_device(text).has_value());
  }
}

TEST_CASE("a place is named after its device and its NUMA node") {
  CHECK(to_string({DeviceKind::cpu}) == "cpu");
  CHECK(to_string({DeviceKind::cpu, 0, 1}) == "cpu node 1");
  CHECK(to_string({DeviceKind::cuda, 3}) == "cuda:3");
  CHECK_FALSE(Place{DeviceKind::cpu} == Place{DeviceKind::cpu, 0, 0});
}
