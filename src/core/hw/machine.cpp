// Machines from hwloc: this machine, and synthetic ones.
#include "core/hw/machine.hpp"

#include <hwloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <set>

#include "core/base/error.hpp"
#include "core/hw/cgroup.hpp"

namespace ktx::hw {

int Machine::cpu_count() const noexcept {
  size_t count = 0;
  for (const auto& node : nodes) count += node.cpus.size();
  return static_cast<int>(count);
}

int Machine::core_count() const noexcept {
  int count = 0;
  for (const auto& node : nodes) count += node.cores;
  return count;
}

uint64_t Machine::memory_bytes() const noexcept {
  uint64_t bytes = 0;
  for (const auto& node : nodes) bytes += node.memory_bytes;
  return bytes;
}

std::vector<int> threads_of_nodes(const Machine& machine, int threads) {
  const int64_t all = std::max(1, machine.core_count());
  std::vector<int> shares;
  int64_t cores = 0, given = 0;  // of the nodes so far
  for (const auto& node : machine.nodes) {
    cores += node.cores;
    const int64_t until = (cores * threads + all - 1) / all;  // rounded up: the first gets one
    shares.push_back(static_cast<int>(until - given));
    given = until;
  }
  return shares;
}

namespace {

struct DestroyTopology {
  void operator()(hwloc_topology* topology) const noexcept { hwloc_topology_destroy(topology); }
};
using Topology = std::unique_ptr<hwloc_topology, DestroyTopology>;

struct FreeBitmap {
  void operator()(hwloc_bitmap_s* bitmap) const noexcept { hwloc_bitmap_free(bitmap); }
};
using Bitmap = std::unique_ptr<hwloc_bitmap_s, FreeBitmap>;

[[noreturn]] void hwloc_failed(const char* what) {
  throw_environment(std::string(what) + ": " + std::strerror(errno), "hwloc");
}

Topology new_topology() {
  hwloc_topology_t topology = nullptr;
  if (hwloc_topology_init(&topology) != 0) hwloc_failed("can't start");
  return Topology(topology);
}

void load(hwloc_topology_t topology) {
  if (hwloc_topology_load(topology) != 0) hwloc_failed("can't read the machine's topology");
}

// Drops the CPUs that the calling thread is not bound to (taskset, numactl); those that a cgroup
// forbids hwloc drops itself.
void restrict_to_thread(hwloc_topology_t topology) {
  const Bitmap set(hwloc_bitmap_alloc());
  if (set == nullptr) hwloc_failed("no memory");
  if (hwloc_get_cpubind(topology, set.get(), HWLOC_CPUBIND_THREAD) != 0) return;
  if (!hwloc_bitmap_iszero(set.get())) hwloc_topology_restrict(topology, set.get(), 0);
}

std::vector<hwloc_obj_t> objects(hwloc_topology_t topology, hwloc_obj_type_t type) {
  std::vector<hwloc_obj_t> found;
  for (hwloc_obj_t o = nullptr; (o = hwloc_get_next_obj_by_type(topology, type, o)) != nullptr;)
    found.push_back(o);
  return found;
}

std::vector<int> cpus_of(hwloc_const_cpuset_t set) {
  std::vector<int> cpus;
  for (int cpu = -1; (cpu = hwloc_bitmap_next(set, cpu)) >= 0;) cpus.push_back(cpu);
  return cpus;
}

// The node's CPUs not yet `taken` by another node (memory-only nodes share their neighbours' CPUs);
// nothing when none is left.
std::optional<NumaNode> read_node(hwloc_topology_t topology, hwloc_obj_t object,
                                  std::set<int>& taken) {
  NumaNode node;
  node.id = static_cast<int>(object->os_index);
  node.memory_bytes = object->attr->numanode.local_memory;
  std::vector<std::vector<int>> cores;
  std::set<int> left;
  for (const int cpu : cpus_of(object->cpuset))
    if (taken.insert(cpu).second) left.insert(cpu);
  for (const auto core : objects(topology, HWLOC_OBJ_CORE)) {
    std::vector<int> threads;
    for (const int cpu : cpus_of(core->cpuset))
      if (left.erase(cpu) > 0) threads.push_back(cpu);
    if (!threads.empty()) cores.push_back(std::move(threads));
  }
  for (const int cpu : left) cores.push_back({cpu});  // where the kernel tells of no cores
  if (cores.empty()) return std::nullopt;

  node.cores = static_cast<int>(cores.size());
  for (size_t thread = 0, added = 1; added > 0; ++thread) {
    added = 0;
    for (const auto& core : cores)
      if (thread < core.size()) {
        node.cpus.push_back(core[thread]);
        ++added;
      }
  }
  return node;
}

std::vector<NumaNode> read_nodes(hwloc_topology_t topology) {
  std::vector<NumaNode> nodes;
  std::set<int> taken;
  auto found = objects(topology, HWLOC_OBJ_NUMANODE);
  std::stable_sort(found.begin(), found.end(),
                   [](auto a, auto b) { return a->os_index < b->os_index; });
  for (const auto object : found)
    if (auto node = read_node(topology, object, taken)) nodes.push_back(std::move(*node));
  return nodes;
}

// Between the nodes, where firmware tells.
void read_distances(hwloc_topology_t topology, Machine& machine) {
  unsigned count = 1;
  hwloc_distances_s* found = nullptr;
  if (hwloc_distances_get_by_type(topology, HWLOC_OBJ_NUMANODE, &count, &found,
                                  HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0) != 0 ||
      count == 0)
    return;
  const auto index_of = [&](const NumaNode& node) {
    for (unsigned i = 0; i < found->nbobjs; ++i)
      if (static_cast<int>(found->objs[i]->os_index) == node.id) return static_cast<int>(i);
    return -1;
  };
  for (auto& node : machine.nodes) {
    for (const auto& other : machine.nodes) {
      const int from = index_of(node), to = index_of(other);
      if (from < 0 || to < 0) break;
      node.distances.push_back(static_cast<int>(found->values[from * int(found->nbobjs) + to]));
    }
    if (node.distances.size() != machine.nodes.size()) node.distances.clear();
  }
  hwloc_distances_release(topology, found);
}

// The caches of that type below `parent` together: L3 may be several pieces.
uint64_t cache_bytes(hwloc_topology_t topology, hwloc_obj_type_t type, hwloc_obj_t parent) {
  uint64_t bytes = 0;
  for (const auto cache : objects(topology, type))
    if (hwloc_bitmap_isincluded(cache->cpuset, parent->cpuset) != 0)
      bytes += cache->attr->cache.size;
  return bytes;
}

Machine read(hwloc_topology_t topology, Isa isa) {
  Machine machine;
  machine.isa = isa;
  machine.nodes = read_nodes(topology);
  if (machine.nodes.empty()) throw_environment("found no CPU with memory", "hwloc");
  read_distances(topology, machine);
  const auto packages = objects(topology, HWLOC_OBJ_PACKAGE);
  machine.sockets =
      std::clamp(static_cast<int>(packages.size()), 1, static_cast<int>(machine.nodes.size()));
  const auto package = packages.empty() ? hwloc_get_root_obj(topology) : packages.front();
  machine.l3_bytes = cache_bytes(topology, HWLOC_OBJ_L3CACHE, package);
  const auto l2 = objects(topology, HWLOC_OBJ_L2CACHE);
  if (!l2.empty()) machine.l2_bytes = l2.front()->attr->cache.size;
  for (const auto object : {package, hwloc_get_root_obj(topology)})
    if (const char* model = hwloc_obj_get_info_by_name(object, "CPUModel");
        model != nullptr && machine.name.empty())
      machine.name = model;
  if (machine.name.empty()) machine.name = "unknown CPU";
  return machine;
}

// With one node its memory is all memory. The kernel's figures per node lack what was added to a
// virtual machine after its start.
void count_added_memory(NumaNode& node) {
  const auto pages = ::sysconf(_SC_PHYS_PAGES), page_bytes = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page_bytes <= 0) return;
  const uint64_t all = static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes);
  node.memory_bytes = std::max(node.memory_bytes, all);
}

// What the control group allows is not bound to nodes: each gets its part of it.
void limit_memory(Machine& machine, uint64_t limit) {
  const uint64_t all = machine.memory_bytes();
  if (all <= limit) return;
  const double part = static_cast<double>(limit) / static_cast<double>(all);
  for (auto& node : machine.nodes)
    node.memory_bytes = machine.nodes.size() == 1
                            ? limit
                            : static_cast<uint64_t>(static_cast<double>(node.memory_bytes) * part);
}

}  // namespace

Machine detect_machine() {
  const auto topology = new_topology();
  load(topology.get());
  const bool this_system = hwloc_topology_is_thissystem(topology.get()) != 0;
  const bool one_node = objects(topology.get(), HWLOC_OBJ_NUMANODE).size() == 1;
  if (this_system) restrict_to_thread(topology.get());
  auto machine = read(topology.get(), usable_isa());
  machine.is_this_machine = this_system;
  if (this_system && one_node) count_added_memory(machine.nodes.front());
  if (const auto limit = this_system ? cgroup_memory_limit() : std::nullopt)
    limit_memory(machine, *limit);
  return machine;
}

Machine synthetic_machine(const std::string& description, Isa isa) {
  const auto topology = new_topology();
  if (hwloc_topology_set_synthetic(topology.get(), description.c_str()) != 0)
    throw_input("not a synthetic machine of hwloc: '" + description + "'", {},
                {"for example: node:2 core:4 pu:2"});
  load(topology.get());
  auto machine = read(topology.get(), isa);
  machine.name = description;
  return machine;
}

std::vector<int> spread_cpus(const Machine& machine) {
  std::vector<int> cpus;
  for (size_t i = 0, added = 1; added > 0; ++i) {
    added = 0;
    for (const auto& node : machine.nodes)
      if (i < node.cpus.size()) {
        cpus.push_back(node.cpus[i]);
        ++added;
      }
  }
  return cpus;
}

}  // namespace ktx::hw
