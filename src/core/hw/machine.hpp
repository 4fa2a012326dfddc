// A machine as a plain value: CPUs, NUMA nodes, memory, ISA, GPUs. Detected, or read from YAML.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/yaml.hpp"
#include "core/hw/isa.hpp"

namespace ktx::hw {

struct NumaNode {
  int id = 0;  // the operating system's number
  uint64_t memory_bytes = 0;
  std::vector<int> cpus;       // logical CPUs, first hardware threads of each core first
  int cores = 0;               // physical cores
  double read_bandwidth = 0;   // bytes/s that its own CPUs read from it; 0: not known
  std::vector<int> distances;  // to every node, from firmware (10: itself); empty: not known
};

/// Fields that are 0 are not known.
struct Gpu {
  std::string name;
  uint64_t memory_bytes = 0;
  int capability = 0;  // 90 for 9.0
  int multiprocessors = 0;
  double read_bandwidth = 0;      // bytes/s of its own memory
  double tensor_flops = 0;        // bf16 FLOP/s of matrix products
  double copy_bandwidth = 0;      // bytes/s from pinned memory of the CPU
  double copy_while_reading = 0;  // the same while all CPUs read their memory
  double peer_bandwidth = 0;      // bytes/s from another GPU of the machine
};

struct Machine {
  std::string name;              // the CPU's model name, or the YAML file's `name`
  bool is_this_machine = false;  // whether CPU and node numbers are those of this machine
  Isa isa = Isa::scalar;
  int sockets = 1;
  double read_bandwidth = 0;      // bytes/s of all nodes together; 0: not known
  double read_while_copying = 0;  // the same while memory is copied to a GPU
  double disk_bandwidth = 0;      // bytes/s of the disk that models are on; 0: not known
  double tensor_flops = 0;        // FLOP/s of all cores with experts' weights; 0: not known
  uint64_t l2_bytes = 0;          // of one core
  uint64_t l3_bytes = 0;          // of one package
  std::vector<NumaNode> nodes;    // at least one
  std::vector<Gpu> gpus;          // filled in by core/device

  int cpu_count() const noexcept;
  int core_count() const noexcept;
  uint64_t memory_bytes() const noexcept;
};

/// This machine as hwloc reports it, restricted to the CPUs that the calling thread may use; NUMA
/// nodes without any are left out. Memory is at most what the control group allows. GPUs are left
/// empty. The ISA is usable_isa(). Throws environment error.
Machine detect_machine();

/// A machine described in YAML, e.g. to plan for a server on a laptop:
///   name: two-socket Xeon
///   isa: amx_int8
///   sockets: 2
///   nodes: {count: 2, cores: 32, threads: 64, memory: 384GiB}  # of each; or a list of nodes
///   read_bandwidth: 300GB/s                                    # of all nodes together
///   read_while_copying: 280GB/s                                # while a GPU is copied to
///   disk_bandwidth: 6GB/s
///   tensor_flops: 35TFLOP/s                                    # with experts, of all cores
///   l2: 2MiB                                                   # of one core
///   l3: 60MiB                                                  # of one package
///   gpus: [{name: RTX 4090, memory: 24GiB, count: 2, capability: 8.9, multiprocessors: 128,
///           read_bandwidth: 1008GB/s, copy_bandwidth: 25GB/s, copy_while_reading: 23GB/s,
///           peer_bandwidth: 20GB/s, tensor_flops: 165TFLOP/s}]  # of each
/// Nodes given as a list may also have read_bandwidth and distances. Required are isa, nodes
/// (cores, memory), and of a GPU name and memory. Throws input error with file:line:column.
Machine read_machine(const std::filesystem::path& file);
Machine parse_machine(const base::Yaml& yaml);

/// The machine as YAML, for parse_machine(); except for rounding and CPU numbers it reads back the
/// same.
std::string machine_text(const Machine& machine);

/// Whether both have the same ISA, the same number of cores in each node, and GPUs of the same
/// names.
bool is_same_machine(const Machine& a, const Machine& b) noexcept;

/// Copies the speeds from a description of the same machine.
void take_speeds(const Machine& from, Machine& to) noexcept;

/// A machine from a synthetic description of hwloc, e.g. "node:2 core:4 pu:1", for tests. Throws
/// input error when hwloc does not understand it.
Machine synthetic_machine(const std::string& description, Isa isa);

/// How many of `threads` workers each node gets: in proportion to its cores, but at least one on
/// the first node, where the calling thread works.
std::vector<int> threads_of_nodes(const Machine& machine, int threads);

/// The CPUs in the order in which threads take them: first hardware threads first, nodes in turn.
std::vector<int> spread_cpus(const Machine& machine);

/// Bytes/s that `threads` pinned threads together read from memory larger than the caches; measured
/// for about `seconds`, plus the time to fill the memory. Uses 2 MiB pages if the kernel provides
/// them.
double measure_read_bandwidth(int threads, double seconds = 0.2);

}  // namespace ktx::hw
