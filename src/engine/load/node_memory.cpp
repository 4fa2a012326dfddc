// Blocks of memory bound to their nodes.
#include "engine/load/node_memory.hpp"

#include <algorithm>
#include <cmath>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/base/text.hpp"
#include "core/hw/numa_memory.hpp"

namespace ktx::engine {

namespace {

std::vector<int> ids(const hw::Machine& machine) {
  std::vector<int> nodes;
  for (const auto& node : machine.nodes) nodes.push_back(node.id);
  return nodes;
}

bool can_bind(const hw::Machine& machine) {
  return machine.is_this_machine && machine.nodes.size() > 1;
}

void warn_unbound(const std::string& reason) {
  base::log(LogLevel::warning, "memory is not bound to NUMA nodes: " + reason);
}

std::string percent(uint64_t part, uint64_t all) {
  return std::to_string(std::llround(100.0 * static_cast<double>(part) /
                                     static_cast<double>(std::max<uint64_t>(all, 1)))) +
         " %";
}

}  // namespace

void interleave(base::Buffer& buffer, const hw::Machine& machine) {
  if (!can_bind(machine)) return;
  const auto refusal = hw::interleave(buffer.bytes(), ids(machine));
  if (!refusal.empty()) warn_unbound(refusal);
}

NodeMemory::NodeMemory(const hw::Machine& machine, std::span<const uint64_t> bytes) {
  const auto nodes = ids(machine);
  require(bytes.size() == nodes.size() + 1, "a block of memory for every node and one for all");
  if (!machine.is_this_machine) unbound_ = "the plan is for another machine";
  for (size_t i = 0; i < bytes.size(); ++i) {
    const bool shared = i == nodes.size();
    auto& block = blocks_.emplace_back();
    block.memory = base::Buffer(bytes[i], true);
    block.nodes = shared ? nodes : std::vector<int>{nodes[i]};
    if (!can_bind(machine)) continue;
    const auto refusal = shared ? hw::interleave(block.memory.bytes(), nodes)
                                : hw::bind_to_node(block.memory.bytes(), nodes[i]);
    if (!refusal.empty()) unbound_ = refusal;
  }
  if (can_bind(machine) && !unbound_.empty()) warn_unbound(unbound_);
}

std::byte* NodeMemory::take(int node, uint64_t bytes) {
  auto& block = node == every_node ? blocks_.back() : blocks_[static_cast<size_t>(node)];
  require(bytes <= block.memory.size() - block.used, "a NUMA node's block of memory is too small");
  std::byte* at = block.memory.data() + block.used;
  block.used += bytes;
  return at;
}

std::vector<std::span<std::byte>> NodeMemory::blocks() noexcept {
  std::vector<std::span<std::byte>> out;
  for (auto& block : blocks_)
    if (block.memory.size() > 0) out.push_back(block.memory.bytes());
  return out;
}

std::string NodeMemory::verified() const {
  if (blocks_.size() <= 2) return "";
  if (!unbound_.empty()) return "not bound: " + unbound_;
  std::vector<std::string> texts;
  for (const auto& block : blocks_) {
    if (block.used == 0) continue;
    const auto found = hw::locate_pages({block.memory.data(), block.used});
    uint64_t all = 0;
    for (const auto& node : found) all += node.pages;
    std::vector<std::string> shares;
    for (const int id : block.nodes) {
      const auto here =
          std::find_if(found.begin(), found.end(), [id](const auto& f) { return f.node == id; });
      shares.push_back(percent(here == found.end() ? 0 : here->pages, all));
    }
    const bool shared = block.nodes.size() > 1;
    texts.push_back(
        (shared ? "interleaved " : "node " + std::to_string(block.nodes.front()) + " ") +
        base::format_bytes(block.used) + " " +
        (all == 0 ? "not to be seen" : base::join(shares, " + ")));
  }
  return "verified: " + base::join(texts, "; ");
}

}  // namespace ktx::engine
