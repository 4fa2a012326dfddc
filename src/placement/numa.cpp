// NUMA policies.
#include "placement/numa.hpp"

#include <algorithm>

#include "ops/matmul/matmul.hpp"

namespace ktx::placement {

namespace {

// Indices into machine.nodes of those that have workers.
std::vector<int> working_nodes(std::span<const int> node_threads) {
  std::vector<int> nodes;
  for (size_t n = 0; n < node_threads.size(); ++n)
    if (node_threads[n] > 0) nodes.push_back(static_cast<int>(n));
  return nodes;
}

int index_of(const hw::Machine& machine, int node_id) {
  for (size_t n = 0; n < machine.nodes.size(); ++n)
    if (machine.nodes[n].id == node_id) return static_cast<int>(n);
  return 0;
}

WeightPart part(const graph::Weight& weight, const PlannedWeight& planned, int node, int64_t begin,
                int64_t end) {
  WeightPart part{.node = node, .row_begin = begin, .row_end = end};
  part.matrix_bytes = ops::packed_bytes(planned.layout, planned.format, end - begin, weight.cols);
  part.bytes = static_cast<uint64_t>(weight.count) * static_cast<uint64_t>(part.matrix_bytes);
  return part;
}

// Rows in proportion to the nodes' workers.
std::vector<WeightPart> shards(const graph::Weight& weight, const PlannedWeight& planned,
                               std::span<const int> node_threads) {
  const int64_t units = (weight.rows + ops::node_row_unit - 1) / ops::node_row_unit;
  int64_t threads = 0, before = 0, begin = 0;
  for (const int count : node_threads) threads += count;
  std::vector<WeightPart> parts;
  for (const int node : working_nodes(node_threads)) {
    before += node_threads[static_cast<size_t>(node)];
    const int64_t end =
        std::min(weight.rows, (units * before + threads / 2) / threads * ops::node_row_unit);
    if (end > begin) parts.push_back(part(weight, planned, node, begin, end));
    begin = end;
  }
  return parts;
}

}  // namespace

NumaPolicy effective_policy(graph::Op op, const NumaPolicy* asked, const hw::Machine& machine,
                            std::string& note) {
  if (machine.nodes.size() == 1) return {NumaKind::node, machine.nodes.front().id};
  const bool shardable = op == graph::Op::linear || op == graph::Op::moe;
  if (asked == nullptr) return {shardable ? NumaKind::shard : NumaKind::interleave};
  const bool replicable = shardable || op == graph::Op::mla;
  if (asked->kind == NumaKind::shard && !shardable)
    note = replicable ? "interleave, not shard: one thread reads all of a head's matrix"
                      : "interleave, not shard: vectors and tables are kept whole";
  else if (asked->kind == NumaKind::replicate && !replicable)
    note = "interleave, not replicate: vectors and tables are stored once";
  return note.empty() ? *asked : NumaPolicy{NumaKind::interleave};
}

std::vector<WeightPart> parts_of(const graph::Weight& weight, bool packed,
                                 const PlannedWeight& planned, const NumaPolicy& policy,
                                 const hw::Machine& machine, std::span<const int> node_threads) {
  const auto whole = [&](int node) { return part(weight, planned, node, 0, weight.rows); };
  if (policy.kind == NumaKind::node) return {whole(index_of(machine, policy.node))};
  if (policy.kind == NumaKind::shard && packed) return shards(weight, planned, node_threads);
  if (policy.kind != NumaKind::replicate || !packed) return {whole(WeightPart::every_node)};
  std::vector<WeightPart> copies;
  for (const int node : working_nodes(node_threads)) copies.push_back(whole(node));
  return copies;
}

std::vector<WeightPart> part_on_gpu(const graph::Weight& weight, const PlannedWeight& planned) {
  return {part(weight, planned, WeightPart::no_node, 0, weight.rows)};
}

std::vector<uint64_t> bytes_of_nodes(const Plan& plan) {
  std::vector<uint64_t> bytes(plan.machine.nodes.size());
  const auto& cpu = plan.devices.front();
  uint64_t shared = cpu.most() - cpu.weights;
  for (const auto& planned : plan.modules)
    for (const auto* weights : {&planned.weights, &planned.prefill_weights})
      for (const auto& weight : *weights)
        for (const auto& part : weight.parts)
          if (part.node == WeightPart::every_node)
            shared += part.bytes;
          else if (part.node != WeightPart::no_node)
            bytes[static_cast<size_t>(part.node)] += part.bytes;
  for (auto& node : bytes) node += shared / bytes.size();
  return bytes;
}

}  // namespace ktx::placement
