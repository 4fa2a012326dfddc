// Machines described in YAML.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>
#include <string_view>

#include "core/base/error.hpp"
#include "core/base/limits.hpp"
#include "core/base/text.hpp"
#include "core/hw/machine.hpp"

namespace ktx::hw {

using base::Yaml;

namespace {

// Throws for a value that is no map and for a key that is not among `keys`.
void check_keys(const Yaml& yaml, std::string_view what, const std::vector<std::string>& keys) {
  for (const auto& [key, value] : yaml.as_map(what))
    if (std::find(keys.begin(), keys.end(), key.scalar) == keys.end())
      throw_input("unknown key '" + key.scalar + "' of " + std::string(what), key.where,
                  base::suggestions(key.scalar, keys, "keys"));
}

const Yaml& need(const Yaml& yaml, std::string_view what, std::string_view key) {
  const auto* value = yaml.find(key);
  if (value == nullptr)
    throw_input(std::string(what) + " needs the key '" + std::string(key) + "'", yaml.where);
  return *value;
}

int64_t read_count(const Yaml& yaml, std::string_view what, int64_t least, int64_t most) {
  const int64_t value = yaml.as_int(what);
  if (value < least || value > most)
    throw_input(std::string(what) + ": expected " + std::to_string(least) + " to " +
                    std::to_string(most) + ", found " + yaml.scalar,
                yaml.where);
  return value;
}

uint64_t read_bytes(const Yaml& yaml, std::string_view what) {
  const auto bytes = base::parse_bytes(yaml.kind == base::YamlKind::scalar ? yaml.scalar : "");
  if (!bytes || *bytes == 0)
    throw_input(std::string(what) + ": expected a size like 384GiB, found " + yaml.describe(),
                yaml.where);
  return *bytes;
}

double read_rate(const Yaml& yaml, std::string_view what) {
  std::string_view text = yaml.scalar;
  const bool per_second = text.ends_with("/s");
  if (per_second) text.remove_suffix(2);
  const auto bytes = base::parse_bytes(text);
  if (!per_second || !bytes || *bytes == 0)
    throw_input(std::string(what) + ": expected a rate like 300GB/s, found " + yaml.describe(),
                yaml.where);
  return static_cast<double>(*bytes);
}

// "780TFLOP/s"
double read_flops(const Yaml& yaml, std::string_view what) {
  std::string text = yaml.scalar;
  const bool known = text.ends_with("FLOP/s");
  const auto number =
      known ? base::parse_bytes(text.substr(0, text.size() - 6) + "B") : std::nullopt;
  if (!number || *number == 0)
    throw_input(std::string(what) + ": expected a rate like 780TFLOP/s, found " + yaml.describe(),
                yaml.where);
  return static_cast<double>(*number);
}

Isa read_isa(const Yaml& yaml) {
  const auto& text = yaml.as_string("isa");
  const auto isa = find_isa(text);
  if (!isa)
    throw_input("no such instruction set: '" + text + "'", yaml.where,
                base::suggestions(text, isa_names(), "names"));
  return *isa;
}

// A node without CPU numbers yet; `threads` tells how many it has.
struct NodeShape {
  NumaNode node;
  int threads = 0;
};

// Writes yaml[key] to `to` if it is there.
template <class Read, class T>
void read_if(const Yaml& yaml, const char* key, const Read& read, T& to) {
  if (const auto* value = yaml.find(key)) to = read(*value, key);
}

std::vector<int> read_distances(const Yaml& yaml, std::string_view what) {
  std::vector<int> distances;
  for (const auto& item : yaml.as_sequence(what))
    distances.push_back(static_cast<int>(read_count(item, "a distance", 10, 255)));
  return distances;
}

NodeShape read_node(const Yaml& yaml, const std::vector<std::string>& keys) {
  check_keys(yaml, "a node", keys);
  NodeShape shape;
  shape.node.cores =
      static_cast<int>(read_count(need(yaml, "a node", "cores"), "cores", 1, limits::node_cpus));
  shape.threads = shape.node.cores;
  if (const auto* threads = yaml.find("threads"))
    shape.threads =
        static_cast<int>(read_count(*threads, "threads", shape.node.cores, limits::node_cpus));
  shape.node.memory_bytes = read_bytes(need(yaml, "a node", "memory"), "memory");
  read_if(yaml, "read_bandwidth", read_rate, shape.node.read_bandwidth);
  read_if(yaml, "distances", read_distances, shape.node.distances);
  return shape;
}

// As Linux numbers them: the first hardware thread of every core of every node, then the others.
std::vector<NumaNode> number_cpus(const std::vector<NodeShape>& shapes) {
  std::vector<NumaNode> nodes;
  int next = 0;
  const auto give = [&next](NumaNode& node, int count) {
    const size_t before = node.cpus.size();
    node.cpus.resize(before + static_cast<size_t>(count));
    std::iota(node.cpus.begin() + static_cast<std::ptrdiff_t>(before), node.cpus.end(), next);
    next += count;
  };
  for (const auto& shape : shapes) {
    nodes.push_back(shape.node);
    nodes.back().id = static_cast<int>(nodes.size()) - 1;
    give(nodes.back(), shape.node.cores);
  }
  for (size_t i = 0; i < shapes.size(); ++i) give(nodes[i], shapes[i].threads - nodes[i].cores);
  return nodes;
}

std::vector<NumaNode> read_nodes(const Yaml& yaml) {
  std::vector<NodeShape> shapes;
  if (yaml.kind == base::YamlKind::map) {
    const auto shape = read_node(yaml, {"count", "cores", "threads", "memory", "read_bandwidth"});
    const auto* count = yaml.find("count");
    shapes.assign(count == nullptr
                      ? 1
                      : static_cast<size_t>(read_count(*count, "count", 1, limits::numa_nodes)),
                  shape);
  } else {
    for (const auto& item : yaml.as_sequence("nodes"))
      shapes.push_back(
          read_node(item, {"cores", "threads", "memory", "read_bandwidth", "distances"}));
  }
  if (shapes.empty() || shapes.size() > static_cast<size_t>(limits::numa_nodes))
    throw_input("nodes: expected 1 to " + std::to_string(limits::numa_nodes) + ", found " +
                    std::to_string(shapes.size()),
                yaml.where);
  for (const auto& shape : shapes)
    if (const size_t count = shape.node.distances.size(); count != 0 && count != shapes.size())
      throw_input("distances: expected one a node, " + std::to_string(shapes.size()) + ", found " +
                      std::to_string(count),
                  yaml.where);
  return number_cpus(shapes);
}

// 8.9 -> 89
int read_capability(const Yaml& yaml) {
  const double value = yaml.as_double("capability");
  const auto tenths = std::lround(10 * value);
  if (tenths < 10 || tenths > 999 || std::abs(10 * value - static_cast<double>(tenths)) > 1e-6)
    throw_input("capability: expected a number like 8.9, found " + yaml.scalar, yaml.where);
  return static_cast<int>(tenths);
}

Gpu read_gpu(const Yaml& yaml) {
  check_keys(yaml, "a GPU",
             {"name", "memory", "count", "capability", "multiprocessors", "read_bandwidth",
              "copy_bandwidth", "copy_while_reading", "peer_bandwidth", "tensor_flops"});
  Gpu gpu{need(yaml, "a GPU", "name").as_string("name"),
          read_bytes(need(yaml, "a GPU", "memory"), "memory")};
  if (const auto* value = yaml.find("capability")) gpu.capability = read_capability(*value);
  if (const auto* value = yaml.find("multiprocessors"))
    gpu.multiprocessors = static_cast<int>(read_count(*value, "multiprocessors", 1, 4096));
  read_if(yaml, "read_bandwidth", read_rate, gpu.read_bandwidth);
  read_if(yaml, "copy_bandwidth", read_rate, gpu.copy_bandwidth);
  read_if(yaml, "copy_while_reading", read_rate, gpu.copy_while_reading);
  read_if(yaml, "peer_bandwidth", read_rate, gpu.peer_bandwidth);
  read_if(yaml, "tensor_flops", read_flops, gpu.tensor_flops);
  return gpu;
}

std::vector<Gpu> read_gpus(const Yaml& yaml) {
  std::vector<Gpu> gpus;
  for (const auto& item : yaml.as_sequence("gpus")) {
    const Gpu gpu = read_gpu(item);
    const auto* count = item.find("count");
    gpus.insert(
        gpus.end(),
        count == nullptr ? 1 : static_cast<size_t>(read_count(*count, "count", 1, limits::gpus)),
        gpu);
    if (gpus.size() > static_cast<size_t>(limits::gpus))
      throw_input(
          "gpus: expected at most " + std::to_string(limits::gpus) + " of all kinds together",
          item.where);
  }
  return gpus;
}

}  // namespace

Machine parse_machine(const Yaml& yaml) {
  check_keys(yaml, "a machine",
             {"name", "isa", "sockets", "nodes", "read_bandwidth", "read_while_copying",
              "disk_bandwidth", "tensor_flops", "l2", "l3", "gpus"});
  Machine machine;
  machine.name = "unnamed machine";
  if (const auto* value = yaml.find("name")) machine.name = value->as_string("name");
  machine.isa = read_isa(need(yaml, "a machine", "isa"));
  machine.nodes = read_nodes(need(yaml, "a machine", "nodes"));
  if (const auto* value = yaml.find("sockets"))
    machine.sockets = static_cast<int>(
        read_count(*value, "sockets", 1, static_cast<int64_t>(machine.nodes.size())));
  read_if(yaml, "read_bandwidth", read_rate, machine.read_bandwidth);
  read_if(yaml, "read_while_copying", read_rate, machine.read_while_copying);
  read_if(yaml, "disk_bandwidth", read_rate, machine.disk_bandwidth);
  read_if(yaml, "tensor_flops", read_flops, machine.tensor_flops);
  read_if(yaml, "l2", read_bytes, machine.l2_bytes);
  read_if(yaml, "l3", read_bytes, machine.l3_bytes);
  if (const auto* value = yaml.find("gpus")) machine.gpus = read_gpus(*value);
  return machine;
}

bool is_same_machine(const Machine& a, const Machine& b) noexcept {
  return a.isa == b.isa &&
         std::ranges::equal(a.nodes, b.nodes, {}, &NumaNode::cores, &NumaNode::cores) &&
         std::ranges::equal(a.gpus, b.gpus, {}, &Gpu::name, &Gpu::name);
}

void take_speeds(const Machine& from, Machine& to) noexcept {
  to.read_bandwidth = from.read_bandwidth;
  to.read_while_copying = from.read_while_copying;
  to.disk_bandwidth = from.disk_bandwidth;
  to.tensor_flops = from.tensor_flops;
  for (size_t i = 0; i < to.nodes.size(); ++i)
    to.nodes[i].read_bandwidth = from.nodes[i].read_bandwidth;
  for (size_t i = 0; i < to.gpus.size(); ++i) {
    to.gpus[i].read_bandwidth = from.gpus[i].read_bandwidth;
    to.gpus[i].tensor_flops = from.gpus[i].tensor_flops;
    to.gpus[i].copy_bandwidth = from.gpus[i].copy_bandwidth;
    to.gpus[i].copy_while_reading = from.gpus[i].copy_while_reading;
    to.gpus[i].peer_bandwidth = from.gpus[i].peer_bandwidth;
  }
}

Machine read_machine(const std::filesystem::path& file) {
  return parse_machine(base::read_yaml(file));
}

}  // namespace ktx::hw
