// Machines in YAML and their error messages.
#include <fstream>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "core/hw/machine.hpp"

using namespace ktx;
using namespace ktx::hw;
using test::failure;

namespace {
Machine parse(const std::string& text) {
  return parse_machine(base::parse_yaml(text, "m.yaml"));
}
std::string error_of(const std::string& text) {
  return failure([&] { parse(text); });
}
}  // namespace

TEST_CASE("the shipped example describes all of a machine") {
  const auto machine =
      read_machine(std::filesystem::path(KTX_SOURCE_DIR) / "examples/my-machine.yaml");
  REQUIRE(machine.isa == Isa::amx_int8);
  REQUIRE(machine.tensor_flops == 35e12);
  REQUIRE(machine.l3_bytes == uint64_t{60} << 20);
  REQUIRE(machine.gpus.size() == 1);
  REQUIRE(machine.gpus[0].capability == 89);
  REQUIRE(machine.gpus[0].copy_bandwidth == 25e9);
}

TEST_CASE("what a GPU is made of") {
  const auto machine = parse(
      "isa: avx2\nnodes: {cores: 1, memory: 1GiB}\n"
      "gpus: [{name: H200, memory: 141GB, count: 2, capability: 9.0, multiprocessors: 132, "
      "read_bandwidth: 4.3TB/s, copy_bandwidth: 55GB/s, tensor_flops: 780TFLOP/s}]\n");
  REQUIRE(machine.gpus.size() == 2);
  for (const auto& gpu : machine.gpus) {
    REQUIRE(gpu.capability == 90);
    REQUIRE(gpu.multiprocessors == 132);
    REQUIRE(gpu.read_bandwidth == 4.3e12);
    REQUIRE(gpu.copy_bandwidth == 55e9);
    REQUIRE(gpu.tensor_flops == 780e12);
  }
  const auto error = [](const std::string& key) {
    return error_of(
        "isa: avx2\nnodes: {cores: 1, memory: 1GiB}\ngpus:\n  - name: A\n    memory: "
        "1GiB\n    " +
        key + "\n");
  };
  REQUIRE(error("capability: 8.95") ==
          "input m.yaml:6:17: capability: expected a number like 8.9, found 8.95");
  REQUIRE(error("tensor_flops: 780T") ==
          "input m.yaml:6:19: tensor_flops: expected a rate like 780TFLOP/s, found '780T'");
  REQUIRE(error("copy_bandwidth: 55GB") ==
          "input m.yaml:6:21: copy_bandwidth: expected a rate like 300GB/s, found '55GB'");
  REQUIRE(error("multiprocessors: 0").find("multiprocessors: expected 1 to 4096, found 0") !=
          std::string::npos);
}

TEST_CASE("rates of nodes, of copies and of the disk") {
  const auto machine = parse(
      "isa: avx2\nsockets: 2\nread_bandwidth: 60GB/s\nread_while_copying: 50GB/s\n"
      "disk_bandwidth: 6GB/s\nnodes:\n"
      "  - {cores: 1, memory: 1GiB, read_bandwidth: 31GB/s, distances: [10, 21]}\n"
      "  - {cores: 1, memory: 1GiB}\n"
      "gpus: [{name: A, memory: 1GiB, copy_while_reading: 48GB/s, peer_bandwidth: 20GB/s}]\n");
  REQUIRE(machine.sockets == 2);
  REQUIRE(machine.read_while_copying == 50e9);
  REQUIRE(machine.disk_bandwidth == 6e9);
  REQUIRE(machine.nodes[0].read_bandwidth == 31e9);
  REQUIRE(machine.nodes[0].distances == std::vector<int>{10, 21});
  REQUIRE(machine.nodes[1].distances.empty());
  REQUIRE(machine.gpus[0].copy_while_reading == 48e9);
  REQUIRE(machine.gpus[0].peer_bandwidth == 20e9);
  REQUIRE(error_of("isa: avx2\nsockets: 2\nnodes: {cores: 1, memory: 1GiB}\n")
              .find("sockets: expected 1 to 1, found 2") != std::string::npos);
  REQUIRE(error_of("isa: avx2\nnodes: [{cores: 1, memory: 1GiB, distances: [10, 21]}]\n")
              .find("distances: expected one a node, 1, found 2") != std::string::npos);
}

TEST_CASE("a machine of equal nodes") {
  const auto machine = parse(
      "name: two-socket Xeon\n"
      "isa: amx_int8\n"
      "nodes: {count: 2, cores: 3, threads: 6, memory: 384GiB}\n"
      "read_bandwidth: 300GB/s\n"
      "tensor_flops: 35TFLOP/s\n"
      "l2: 2MiB\n"
      "l3: 60MiB\n"
      "gpus: [{name: RTX 4090, memory: 24GiB}, {name: H200, memory: 141GB, count: 2}]\n");
  REQUIRE(machine.name == "two-socket Xeon");
  REQUIRE(machine.isa == Isa::amx_int8);
  REQUIRE(machine.read_bandwidth == 300e9);
  REQUIRE(machine.tensor_flops == 35e12);
  REQUIRE(machine.l2_bytes == uint64_t{2} << 20);
  REQUIRE(machine.l3_bytes == uint64_t{60} << 20);
  REQUIRE(machine.nodes.size() == 2);
  REQUIRE(machine.nodes[0].id == 0);
  REQUIRE(machine.nodes[1].id == 1);
  REQUIRE(machine.nodes[0].cpus == std::vector<int>{0, 1, 2, 6, 7, 8});
  REQUIRE(machine.nodes[1].cpus == std::vector<int>{3, 4, 5, 9, 10, 11});
  REQUIRE(machine.nodes[1].cores == 3);
  REQUIRE(machine.memory_bytes() == uint64_t{768} << 30);
  REQUIRE(machine.cpu_count() == 12);
  REQUIRE(machine.core_count() == 6);
  REQUIRE(machine.gpus.size() == 3);
  REQUIRE(machine.gpus[0].name == "RTX 4090");
  REQUIRE(machine.gpus[0].memory_bytes == uint64_t{24} << 30);
  REQUIRE(machine.gpus[2].memory_bytes == 141'000'000'000);
  REQUIRE(machine.gpus[2].capability == 0);
  REQUIRE(machine.gpus[2].read_bandwidth == 0);
}

TEST_CASE("a machine of unequal nodes, and what may be left out") {
  const auto machine = parse(
      "isa: avx2\n"
      "nodes:\n"
      "  - {cores: 2, memory: 16GiB}\n"
      "  - {cores: 1, threads: 2, memory: 8GiB}\n");
  REQUIRE(machine.name == "unnamed machine");
  REQUIRE(machine.nodes[0].cpus == std::vector<int>{0, 1});
  REQUIRE(machine.nodes[1].cpus == std::vector<int>{2, 3});
  REQUIRE(machine.nodes[1].memory_bytes == uint64_t{8} << 30);
  REQUIRE(machine.read_bandwidth == 0);
  REQUIRE(machine.gpus.empty());
  REQUIRE(parse("{isa: scalar, nodes: {cores: 1, memory: 1GiB}}").nodes.size() == 1);
}

TEST_CASE("unknown keys are errors that name the nearest") {
  REQUIRE(error_of("isa: avx2\nnode: {cores: 1, memory: 1GiB}\n") ==
          "input m.yaml:2:1: unknown key 'node' of a machine\n"
          "  note: did you mean 'nodes'?\n"
          "  note: valid keys: name, isa, sockets, nodes, read_bandwidth, read_while_copying, "
          "disk_bandwidth, tensor_flops, l2, l3, gpus");
  REQUIRE(error_of("isa: avx2\nnodes: {cores: 1, memroy: 1GiB}\n") ==
          "input m.yaml:2:19: unknown key 'memroy' of a node\n"
          "  note: did you mean 'memory'?\n"
          "  note: valid keys: count, cores, threads, memory, read_bandwidth");
  REQUIRE(error_of("isa: avx2\nnodes: [{cores: 1, memory: 1GiB, count: 2}]\n") ==
          "input m.yaml:2:34: unknown key 'count' of a node\n"
          "  note: valid keys: cores, threads, memory, read_bandwidth, distances");
  REQUIRE(error_of("isa: avx2\nnodes: {cores: 1, memory: 1GiB}\ngpus: [{vram: 2GiB}]\n") ==
          "input m.yaml:3:9: unknown key 'vram' of a GPU\n"
          "  note: valid keys: name, memory, count, capability, multiprocessors, read_bandwidth, "
          "copy_bandwidth, copy_while_reading, peer_bandwidth, tensor_flops");
}

TEST_CASE("few lines don't make many GPUs") {
  std::string text =
      "isa: avx2\nnodes: {cores: 1, memory: 1GiB}\ngpus:\n"
      "  - &g {name: A, memory: 1GiB, count: 1024}\n";
  REQUIRE(parse(text).gpus.size() == 1024);
  for (int i = 0; i < 120'000; ++i) text += "  - *g\n";
  REQUIRE(error_of(text) == "input m.yaml:4:5: gpus: expected at most 1024 of all kinds together");
}

TEST_CASE("missing keys and wrong kinds") {
  REQUIRE(error_of("") == "input m.yaml: a machine: expected a map, found nothing");
  REQUIRE(error_of("[1]") == "input m.yaml:1:1: a machine: expected a map, found a list");
  REQUIRE(error_of("name: x\n") == "input m.yaml:1:1: a machine needs the key 'isa'");
  REQUIRE(error_of("isa: avx2\n") == "input m.yaml:1:1: a machine needs the key 'nodes'");
  REQUIRE(error_of("isa: avx2\nnodes: {memory: 1GiB}\n") ==
          "input m.yaml:2:8: a node needs the key 'cores'");
  REQUIRE(error_of("isa: avx2\nnodes: [{cores: 1}]\n") ==
          "input m.yaml:2:9: a node needs the key 'memory'");
  REQUIRE(error_of("isa: avx2\nnodes: 2\n") ==
          "input m.yaml:2:8: nodes: expected a list, found '2'");
  REQUIRE(error_of("isa: avx2\nnodes: [2]\n") ==
          "input m.yaml:2:9: a node: expected a map, found '2'");
  REQUIRE(error_of("isa: avx2\nnodes: []\n") ==
          "input m.yaml:2:8: nodes: expected 1 to 256, found 0");
  REQUIRE(error_of("isa: [avx2]\nnodes: []\n") ==
          "input m.yaml:1:6: isa: expected a text, found a list");
  REQUIRE(error_of("isa: avx2\nnodes: {cores: 1, memory: 1GiB}\ngpus: [{name: A}]\n") ==
          "input m.yaml:3:8: a GPU needs the key 'memory'");
  REQUIRE(error_of("isa: avx2\nnodes: {cores: 1, memory: 1GiB}\ngpus: A\n") ==
          "input m.yaml:3:7: gpus: expected a list, found 'A'");
}

TEST_CASE("wrong values") {
  REQUIRE(error_of("isa: amx_int4\n") ==
          "input m.yaml:1:6: no such instruction set: 'amx_int4'\n"
          "  note: did you mean 'amx_int8'?\n"
          "  note: valid names: scalar, avx2, avx512, avx512_vnni, avx512_vbmi, avx512_bf16, "
          "amx_bf16, amx_int8");
  const auto node = [](const std::string& text) {
    return error_of("isa: avx2\nnodes: {" + text + "}");
  };
  REQUIRE(node("cores: 0, memory: 1GiB") ==
          "input m.yaml:2:16: cores: expected 1 to 65536, found 0");
  REQUIRE(node("cores: many, memory: 1GiB") ==
          "input m.yaml:2:16: cores: expected a whole number, found 'many'");
  REQUIRE(node("cores: 4, threads: 3, memory: 1GiB") ==
          "input m.yaml:2:28: threads: expected 4 to 65536, found 3");
  REQUIRE(node("cores: 4, threads: 1000000, memory: 1GiB") ==
          "input m.yaml:2:28: threads: expected 4 to 65536, found 1000000");
  REQUIRE(node("count: 257, cores: 4, memory: 1GiB") ==
          "input m.yaml:2:16: count: expected 1 to 256, found 257");
  REQUIRE(node("cores: 4, memory: lots") ==
          "input m.yaml:2:27: memory: expected a size like 384GiB, found 'lots'");
  REQUIRE(node("cores: 4, memory: 0") ==
          "input m.yaml:2:27: memory: expected a size like 384GiB, found '0'");
  REQUIRE(node("cores: 4, memory: [1GiB]") ==
          "input m.yaml:2:27: memory: expected a size like 384GiB, found a list");
  const auto rate = [](const std::string& text) {
    return error_of("isa: avx2\nnodes: {cores: 1, memory: 1GiB}\nread_bandwidth: " + text);
  };
  for (const char* text : {"300", "300GB", "fast/s", "0GB/s", "-1GB/s"})
    REQUIRE(rate(text) ==
            "input m.yaml:3:17: read_bandwidth: expected a rate like 300GB/s, found '" +
                std::string(text) + "'");
  REQUIRE(rate("{}") ==
          "input m.yaml:3:17: read_bandwidth: expected a rate like 300GB/s, found a map");
}

TEST_CASE("read_machine reads a file") {
  const std::string file = "machine_yaml_test.tmp.yaml";
  std::ofstream(file) << "isa: avx512\nnodes: {cores: 8, memory: 32GiB}\n";
  REQUIRE(read_machine(file).core_count() == 8);
  std::ofstream(file) << "isa: avx512\nnodes: {cores: 8}\n";
  REQUIRE(failure([&] { read_machine(file); }) ==
          "input machine_yaml_test.tmp.yaml:2:8: a node needs the key 'memory'");
  std::filesystem::remove(file);
  REQUIRE(failure([&] { read_machine(file); }) ==
          "input machine_yaml_test.tmp.yaml: can't be read: No such file or directory");
}
