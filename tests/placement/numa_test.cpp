// NUMA policies: who gets which, and which rows lie where.
#include "placement/numa.hpp"

#include <numeric>

#include "catch.hpp"
#include "ops/matmul/matmul.hpp"
#include "placement/kernel_choice.hpp"
#include "placement/planner.hpp"
#include "sample.hpp"

using namespace ktx;
using namespace ktx::placement;
using graph::Op;
using quant::Format;

namespace {

graph::Weight weight(int64_t count, int64_t rows, int64_t cols) {
  graph::Weight w{.role = "weight", .source = Format::bf16, .count = count, .rows = rows};
  w.cols = cols;
  return w;
}

NumaPolicy policy(Op op, std::optional<NumaPolicy> asked, int nodes, std::string& note) {
  note.clear();
  return effective_policy(op, asked ? &*asked : nullptr, sample::machine(hw::Isa::avx2, nodes),
                          note);
}

constexpr NumaPolicy replicate{NumaKind::replicate}, shard{NumaKind::shard},
    interleave{NumaKind::interleave}, node_1{NumaKind::node, 1};

std::vector<int64_t> ends(const std::vector<WeightPart>& parts) {
  std::vector<int64_t> rows;
  for (const auto& part : parts) rows.push_back(part.row_end);
  return rows;
}

std::vector<WeightPart> parts(const graph::Weight& w, const NumaPolicy& policy,
                              const std::vector<int>& threads,
                              ops::Layout layout = ops::Layout::x16, bool packed = true) {
  const PlannedWeight planned{"weight", Format::bf16, Format::bf16, layout};
  return parts_of(w, packed, planned, policy,
                  sample::machine(hw::Isa::avx2, static_cast<int>(threads.size())), threads);
}

}  // namespace

TEST_CASE("a rule's policy holds where the op can have it, else a note says why not") {
  std::string note;
  for (const auto op : {Op::linear, Op::moe})
    for (const auto& asked : {replicate, shard, interleave, node_1}) {
      CHECK(policy(op, asked, 2, note) == asked);
      CHECK(note.empty());
    }
  CHECK(policy(Op::mla, replicate, 2, note) == replicate);
  CHECK(policy(Op::mla, shard, 2, note) == interleave);
  CHECK(note == "interleave, not shard: one thread reads all of a head's matrix");
  CHECK(policy(Op::rms_norm, shard, 2, note) == interleave);
  CHECK(note == "interleave, not shard: vectors and tables are kept whole");
  CHECK(policy(Op::embedding, replicate, 2, note) == interleave);
  CHECK(note == "interleave, not replicate: vectors and tables are stored once");
  CHECK(policy(Op::router, node_1, 2, note) == node_1);
  CHECK(note.empty());
}

TEST_CASE("without a policy, matrices are sharded on several nodes") {
  std::string note;
  CHECK(policy(Op::moe, {}, 2, note) == shard);
  CHECK(policy(Op::linear, {}, 8, note) == shard);
  for (const auto op : {Op::mla, Op::embedding, Op::router, Op::rms_norm})
    CHECK(policy(op, {}, 2, note) == interleave);
  for (const auto& asked : {replicate, shard, interleave})
    CHECK(policy(Op::embedding, asked, 1, note) == NumaPolicy{NumaKind::node, 0});
  CHECK(note.empty());
}

TEST_CASE("shards are cut by threads, at rows that every layout can begin at") {
  CHECK(ends(parts(weight(4, 1024, 64), shard, {1, 1})) == std::vector<int64_t>{512, 1024});
  CHECK(ends(parts(weight(4, 1024, 64), shard, {1, 3})) == std::vector<int64_t>{256, 1024});
  CHECK(ends(parts(weight(4, 2000, 64), shard, {2, 1, 2})) ==
        std::vector<int64_t>{768, 1280, 2000});
  CHECK(ends(parts(weight(1, 1024, 64), shard, {2, 0, 2})) == std::vector<int64_t>{512, 1024});
  CHECK(ends(parts(weight(1, 20, 64), shard, {1, 1, 1, 1})) == std::vector<int64_t>{20});
  const auto three = parts(weight(4, 2000, 64), shard, {2, 1, 2});
  int64_t row = 0;
  for (const auto& part : three) {
    CHECK(part.row_begin == row);
    CHECK(part.row_begin % ops::node_row_unit == 0);
    row = part.row_end;
    CHECK(part.matrix_bytes ==
          ops::packed_bytes(ops::Layout::x16, Format::bf16, part.row_end - part.row_begin, 64));
    CHECK(part.bytes == 4 * static_cast<uint64_t>(part.matrix_bytes));
  }
  const auto idle = parts(weight(1, 1024, 64), shard, {2, 0, 2});
  CHECK(idle[0].node == 0);
  CHECK(idle[1].node == 2);
}

TEST_CASE("copies, one copy, and no copies of vectors") {
  const auto copies = parts(weight(4, 250, 64), replicate, {1, 0, 2});
  REQUIRE(copies.size() == 2);
  CHECK(copies[0].node == 0);
  CHECK(copies[1].node == 2);
  CHECK(ends(copies) == std::vector<int64_t>{250, 250});
  const auto on_one = parts(weight(4, 250, 64), node_1, {1, 1});
  REQUIRE(on_one.size() == 1);
  CHECK(on_one[0].node == 1);
  for (const auto& asked : {replicate, shard, interleave}) {
    const auto vector = parts(weight(1, 1, 64), asked, {1, 1}, ops::Layout::rows, false);
    REQUIRE(vector.size() == 1);
    CHECK(vector[0].node == WeightPart::every_node);
    CHECK(vector[0].bytes == 128);
  }
}

TEST_CASE(
    "plans for 1, 2, 4 and 8 nodes, by YAML and by hwloc, hold every row and count every byte") {
  const auto rules = sample::rule_list(
      "  - {name: a, match: {class: moe.experts, layers: 1}, place: {numa: replicate}}\n"
      "  - {name: b, match: {class: mlp.shared}, place: {numa: interleave}}\n"
      "  - {name: c, match: {name: '.*'}, place: {}}\n");
  for (const int nodes : {1, 2, 4, 8})
    for (const bool synthetic : {false, true})
      for (const int threads : {1, 3, 8, 13}) {
        INFO(nodes << " nodes, " << threads << " threads");
        const auto count = std::to_string(nodes);
        const auto machine =
            synthetic
                ? hw::synthetic_machine("node:" + count + "(memory=8GB) core:2 pu:2", hw::Isa::avx2)
                : hw::parse_machine(base::parse_yaml(
                      "isa: avx2\nnodes: {count: " + count + ", cores: 3, memory: 8GiB}", "m"));
        REQUIRE(machine.nodes.size() == static_cast<size_t>(nodes));
        const auto plan = make_plan(rules, sample::deepseek(), machine, {.threads = threads});
        CHECK(std::accumulate(plan.node_threads.begin(), plan.node_threads.end(), 0) == threads);
        for (const auto& planned : plan.modules) {
          const auto& module = plan.model.modules[static_cast<size_t>(planned.module)];
          for (size_t i = 0; i < planned.weights.size(); ++i) {
            int64_t rows = 0;
            uint64_t bytes = 0;
            for (const auto& part : planned.weights[i].parts) {
              rows += part.row_end - part.row_begin;
              bytes += part.bytes;
            }
            const auto copies = static_cast<int64_t>(
                planned.numa.kind == NumaKind::replicate ? planned.weights[i].parts.size() : 1);
            CHECK(rows == copies * module.weights[i].rows);
            CHECK(bytes == planned.weights[i].bytes);
          }
        }
        const auto bytes = bytes_of_nodes(plan);
        const uint64_t all = plan.devices.front().most();
        const uint64_t sum = std::accumulate(bytes.begin(), bytes.end(), uint64_t{0});
        CHECK(sum <= all);
        CHECK(sum + bytes.size() > all);  // shared bytes are divided, rounded down
      }
}
