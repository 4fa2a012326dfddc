// A machine written as YAML and read again.
#include <cmath>

#include "catch.hpp"
#include "core/hw/machine.hpp"

using namespace ktx;
using namespace ktx::hw;

TEST_CASE("a machine's text describes it") {
  Machine machine = synthetic_machine("package:2 numa:1 core:4 pu:2", Isa::avx512_vnni);
  machine.name = "some box";
  machine.read_bandwidth = 123.4e9;
  machine.read_while_copying = 98.7e9;
  machine.disk_bandwidth = 6.5e9;
  machine.tensor_flops = 7.26e12;
  machine.l2_bytes = uint64_t{2} << 20;
  machine.l3_bytes = uint64_t{300} << 20;
  machine.nodes[0].read_bandwidth = 61e9;
  machine.gpus = {{.name = "NVIDIA H100 80GB HBM3",
                   .memory_bytes = uint64_t{79} << 30,
                   .capability = 90,
                   .multiprocessors = 132,
                   .read_bandwidth = 2.95e12,
                   .tensor_flops = 681e12,
                   .copy_bandwidth = 54.9e9,
                   .copy_while_reading = 32.9e9,
                   .peer_bandwidth = 300e9},
                  {.name = "unknown", .memory_bytes = uint64_t{24} << 30}};
  const auto read = parse_machine(base::parse_yaml(machine_text(machine), "m.yaml"));
  REQUIRE(is_same_machine(machine, read));
  REQUIRE(read.sockets == 2);
  REQUIRE(read.nodes.size() == machine.nodes.size());
  for (size_t i = 0; i < read.nodes.size(); ++i) {
    REQUIRE(read.nodes[i].cpus.size() == machine.nodes[i].cpus.size());
    REQUIRE(read.nodes[i].distances == machine.nodes[i].distances);
  }
  REQUIRE(read.l2_bytes == machine.l2_bytes);
  REQUIRE(read.l3_bytes == machine.l3_bytes);
  const auto same = [](double a, double b) { return std::abs(a - b) <= 0.005 * b; };
  Machine copy = machine;
  take_speeds(read, copy);
  REQUIRE(same(copy.read_bandwidth, machine.read_bandwidth));
  REQUIRE(same(copy.read_while_copying, machine.read_while_copying));
  REQUIRE(same(copy.disk_bandwidth, machine.disk_bandwidth));
  REQUIRE(same(copy.tensor_flops, machine.tensor_flops));
  REQUIRE(same(copy.nodes[0].read_bandwidth, 61e9));
  REQUIRE(copy.gpus[0].capability == 90);
  REQUIRE(same(copy.gpus[0].read_bandwidth, 2.95e12));
  REQUIRE(same(copy.gpus[0].tensor_flops, 681e12));
  REQUIRE(same(copy.gpus[0].copy_bandwidth, 54.9e9));
  REQUIRE(same(copy.gpus[0].copy_while_reading, 32.9e9));
  REQUIRE(same(copy.gpus[0].peer_bandwidth, 300e9));
  REQUIRE(copy.gpus[1].tensor_flops == 0);
  Machine other = machine;
  other.gpus[1].name = "another";
  REQUIRE_FALSE(is_same_machine(machine, other));
}

TEST_CASE("odd names, small sizes and rates in a machine's text") {
  Machine machine = synthetic_machine("numa:1 core:2 pu:1", Isa::avx2);
  machine.nodes[0].memory_bytes = 1000;
  machine.l2_bytes = uint64_t{512} << 10;
  machine.tensor_flops = 72;
  machine.disk_bandwidth = 999.9e6;
  for (const char* name : {"a: b # c", "null", "", "@home", "two\nlines \t\"x\" 'y' \\", "- 😀"}) {
    INFO(name);
    machine.name = name;
    machine.gpus = {{.name = name, .memory_bytes = uint64_t{70} << 40}};
    const auto read = parse_machine(base::parse_yaml(machine_text(machine), "m.yaml"));
    CHECK(read.name == name);
    CHECK(is_same_machine(machine, read));
    CHECK(read.nodes[0].memory_bytes == 1000);
    CHECK(read.l2_bytes == machine.l2_bytes);
    CHECK(read.tensor_flops == 72);
    CHECK(read.disk_bandwidth == Approx(1e9).epsilon(0.001));
    CHECK(read.gpus[0].memory_bytes == machine.gpus[0].memory_bytes);
  }
}
