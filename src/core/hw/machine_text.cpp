// A machine as the YAML that describes it.
#include <array>
#include <string>

#include "core/base/json.hpp"
#include "core/base/text.hpp"
#include "core/hw/machine.hpp"

namespace ktx::hw {

namespace {

// "140GB/s"; three digits.
std::string rate_text(double rate, const char* unit) {
  constexpr std::array prefixes{"", "K", "M", "G", "T"};
  size_t prefix = 0;
  for (; prefix + 1 < prefixes.size() && rate >= 1000; ++prefix) rate /= 1000;
  return base::format_number(rate) + prefixes[prefix] + unit;
}

// In the largest unit that is exact or of which there are at least 64: little is rounded off.
std::string bytes_text(uint64_t bytes) {
  constexpr std::array units{"B", "KiB", "MiB", "GiB"};
  size_t unit = 0;
  while (unit + 1 < units.size() && bytes > 0 && (bytes % 1024 == 0 || bytes >= 64 * 1024)) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + units[unit];
}

// In YAML's double quotes, which are JSON's.
std::string name_text(const std::string& name) {
  return base::dump_json(name);
}

// Writes "key: value" where the value is known.
void add(std::string& text, const std::string& key, double rate, const char* unit) {
  if (rate > 0) text += key + ": " + rate_text(rate, unit) + "\n";
}

std::string node_text(const NumaNode& node) {
  std::string text = "  - {cores: " + std::to_string(node.cores) +
                     ", threads: " + std::to_string(node.cpus.size()) +
                     ", memory: " + bytes_text(node.memory_bytes);
  if (node.read_bandwidth > 0) text += ", read_bandwidth: " + rate_text(node.read_bandwidth, "B/s");
  if (!node.distances.empty()) {
    std::vector<std::string> distances;
    for (const int distance : node.distances) distances.push_back(std::to_string(distance));
    text += ", distances: [" + base::join(distances) + "]";
  }
  return text + "}\n";
}

std::string gpu_text(const Gpu& gpu) {
  std::string text =
      "  - name: " + name_text(gpu.name) + "\n    memory: " + bytes_text(gpu.memory_bytes) + "\n";
  const auto line = [&](const char* key, const std::string& value) {
    text += "    " + std::string(key) + ": " + value + "\n";
  };
  if (gpu.capability > 0)
    line("capability",
         std::to_string(gpu.capability / 10) + "." + std::to_string(gpu.capability % 10));
  if (gpu.multiprocessors > 0) line("multiprocessors", std::to_string(gpu.multiprocessors));
  add(text, "    read_bandwidth", gpu.read_bandwidth, "B/s");
  add(text, "    copy_bandwidth", gpu.copy_bandwidth, "B/s");
  add(text, "    copy_while_reading", gpu.copy_while_reading, "B/s");
  add(text, "    peer_bandwidth", gpu.peer_bandwidth, "B/s");
  add(text, "    tensor_flops", gpu.tensor_flops, "FLOP/s");
  return text;
}

}  // namespace

std::string machine_text(const Machine& machine) {
  std::string text = "name: " + name_text(machine.name) +
                     "\nisa: " + std::string(name(machine.isa)) +
                     "\nsockets: " + std::to_string(machine.sockets) + "\nnodes:\n";
  for (const auto& node : machine.nodes) text += node_text(node);
  add(text, "read_bandwidth", machine.read_bandwidth, "B/s");
  add(text, "read_while_copying", machine.read_while_copying, "B/s");
  add(text, "disk_bandwidth", machine.disk_bandwidth, "B/s");
  add(text, "tensor_flops", machine.tensor_flops, "FLOP/s");
  if (machine.l2_bytes > 0) text += "l2: " + bytes_text(machine.l2_bytes) + "\n";
  if (machine.l3_bytes > 0) text += "l3: " + bytes_text(machine.l3_bytes) + "\n";
  if (machine.gpus.empty()) return text;
  text += "gpus:\n";
  for (const auto& gpu : machine.gpus) text += gpu_text(gpu);
  return text;
}

}  // namespace ktx::hw
