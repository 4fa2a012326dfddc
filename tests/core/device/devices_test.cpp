// Device names, and a search for GPUs that is never an error.
#include "core/device/devices.hpp"

#include "catch.hpp"

using namespace ktx::device;

TEST_CASE("device names are read and written") {
  REQUIRE(parse_device("cpu") == DeviceName{DeviceKind::cpu, 0});
  REQUIRE(parse_device("cuda:0") == DeviceName{DeviceKind::cuda, 0});
  REQUIRE(parse_device("cuda:17") == DeviceName{DeviceKind::cuda, 17});
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

TEST_CASE("the GPUs of this box are found or there are none") {
  const auto gpus = detect_gpus();
  for (const auto& gpu : gpus) {
    CHECK_FALSE(gpu.name.empty());
    CHECK(gpu.memory_bytes > 0);
  }
  REQUIRE(detect_gpus().size() == gpus.size());
}
