// Parts of a plan made by hand: what each device is to hold, and entries of the cache that are the
// same wherever that is.
#include "engine/load/weight_parts.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "catch.hpp"

using namespace ktx;
using engine::Destination;
using engine::LoadedWeight;
using engine::Part;
using engine::PartWeight;
using placement::NumaKind;

namespace {

constexpr int64_t experts = 5, rows = 64, cols = 256;
constexpr auto format = quant::Format::q8_0;
constexpr auto layout = ops::Layout::x16;
constexpr auto canary = std::byte{0xee};

/// Where the experts of a layer lie.
struct Placing {
  std::string name;
  std::string device = "cpu", prefill_device = {};  // the latter: empty, as `device`
  bool stream = false;
  std::vector<int32_t> residents = {};  // on cuda:0, or where those are, on cuda:1
  bool keep_ram = false;
  std::vector<int64_t> cuts = {};  // rows where shards end, one a NUMA node; or
  int copies = 1;                  // whole ones, one a node
};

int64_t packed(int64_t row_count) {
  return ops::packed_bytes(layout, format, row_count, cols);
}

std::vector<placement::WeightPart> parts_on(const std::string& device, const Placing& placing) {
  if (device != "cpu") return {{placement::WeightPart::no_node, 0, rows, packed(rows)}};
  std::vector<placement::WeightPart> parts;
  const auto add = [&](int64_t begin, int64_t end) {
    parts.push_back({static_cast<int>(parts.size()), begin, end, packed(end - begin)});
  };
  for (int64_t begin = 0; const int64_t end : placing.cuts) {
    add(begin, end);
    begin = end;
  }
  while (placing.cuts.empty() && static_cast<int>(parts.size()) < placing.copies) add(0, rows);
  return parts;
}

placement::PlannedModule planned_experts(int module, const std::string& rule,
                                         const Placing& placing) {
  placement::PlannedModule planned;
  planned.module = module;
  planned.rule_name = rule;
  planned.device = placing.device;
  planned.prefill_device = placing.prefill_device.empty() ? placing.device : placing.prefill_device;
  planned.stream = placing.stream;
  if (!placing.residents.empty())
    planned.residents = {.device = placing.device == "cuda:0" ? "cuda:1" : "cuda:0",
                         .experts = placing.residents,
                         .keep_ram = placing.keep_ram};
  for (const char* role : {"gate", "down"}) {
    const placement::PlannedWeight weight{
        role, format, format, layout, parts_on(planned.device, placing), 0};
    planned.weights.push_back(weight);
    if (planned.prefill_device == planned.device || planned.stream) continue;
    planned.prefill_weights.push_back(weight);
    planned.prefill_weights.back().parts = parts_on(planned.prefill_device, placing);
  }
  return planned;
}

/// Layers of experts and their parts, with memory as it would be taken for them.
class Placed {
 public:
  explicit Placed(const std::vector<Placing>& layers, const std::vector<std::string>& rules = {}) {
    for (size_t l = 0; l < layers.size(); ++l) {
      graph::Module module{.path = "experts", .op = "moe", .layer = static_cast<int>(l)};
      for (const char* role : {"gate", "down"})
        module.weights.push_back(
            {.role = role, .source = format, .count = experts, .rows = rows, .cols = cols});
      plan.model.modules.push_back(module);
      plan.modules.push_back(
          planned_experts(static_cast<int>(l), rules.empty() ? "experts" : rules[l], layers[l]));
    }
    modules.resize(layers.size());
    parts = engine::parts_of(plan, modules);
    for (auto& part : parts)
      for (auto& weight : part.weights)
        for (auto& to : weight.job.destinations) {
          memory.emplace_back(weight.bytes_of(to) + 64, canary);
          to.data = memory.back().data();
        }
  }
  explicit Placed(const Placing& layer) : Placed(std::vector{layer}) {}
  Placed(const Placed&) = delete;  // parts point to the rest
  Placed& operator=(const Placed&) = delete;

  /// What is behind each destination's memory is as it was.
  bool is_within() const {
    return std::ranges::all_of(memory, [](const auto& block) {
      return std::all_of(block.end() - 64, block.end(), [](auto b) { return b == canary; });
    });
  }
  const LoadedWeight& loaded(const std::string& role, const std::string& device) const {
    for (const auto& weight : modules.front())
      if (weight.role == role && device::to_string(weight.place) == device) return weight;
    FAIL("no " << role << " on " << device);
    return modules.front().front();
  }

  placement::Plan plan;
  engine::LoadedModules modules;
  std::vector<Part> parts;
  std::deque<std::vector<std::byte>> memory;  // one a destination
};

/// Calls f(data, number) for every group of rows that a destination holds; the number is that of
/// the group among all of the part.
template <class F>
void each_group(const Part& part, const F& f) {
  const int64_t groups = rows / ops::row_group;
  for (size_t w = 0; w < part.weights.size(); ++w)
    for (const auto& to : part.weights[w].job.destinations)
      for (int64_t m = 0; m < experts; ++m) {
        if (to.slot(m) < 0) continue;
        for (int64_t row = to.row_begin; row < to.row_end; row += ops::row_group)
          f(to.data + to.slot(m) * to.matrix_bytes + packed(row - to.row_begin),
            (static_cast<int64_t>(w) * experts + m) * groups + row / ops::row_group);
      }
}

std::vector<std::byte> group_of(int64_t number) {
  std::vector<std::byte> bytes(static_cast<size_t>(packed(ops::row_group)));
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>((static_cast<size_t>(number) * 7919 + i) * 2654435761u >> 13);
  return bytes;
}

void fill(const Part& part) {
  each_group(part, [](std::byte* data, int64_t number) {
    const auto bytes = group_of(number);
    std::memcpy(data, bytes.data(), bytes.size());
  });
}

int wrong_groups(const Part& part) {
  int wrong = 0;
  each_group(part, [&](const std::byte* data, int64_t number) {
    const auto bytes = group_of(number);
    wrong += std::memcmp(data, bytes.data(), bytes.size()) != 0;
  });
  return wrong;
}

std::vector<std::byte> entry_of(const Part& part) {
  std::vector<std::byte> entry;
  for (const auto& piece : engine::entry_pieces(part))
    entry.insert(entry.end(), piece.data, piece.data + piece.bytes);
  return entry;
}

void read_entry(const Part& part, const std::vector<std::byte>& entry) {
  engine::each_copy(part, [&](std::byte* to, uint64_t offset, uint64_t bytes) {
    REQUIRE(offset + bytes <= entry.size());
    std::memcpy(to, entry.data() + offset, bytes);
  });
}

using Numbers = std::vector<int32_t>;

}  // namespace

TEST_CASE("what one rule placed in one layer is a part") {
  const Placed one(Placing{"one"});
  Placed same(std::vector<Placing>{{"a"}, {"b"}});
  CHECK(same.parts.size() == 2);
  same.plan.model.modules[1].layer = 0;
  engine::LoadedModules again(2);
  const auto together = engine::parts_of(same.plan, again);
  REQUIRE(together.size() == 1);
  CHECK(together[0].weights.size() == 4);  // gate and down of both modules
  CHECK(together[0].bytes == same.parts[0].bytes + same.parts[1].bytes);
  same.plan.modules[1].rule_name = "others";
  engine::LoadedModules apart(2);
  CHECK(engine::parts_of(same.plan, apart).size() == 2);
  CHECK(one.parts[0].bytes == static_cast<uint64_t>(2 * experts * packed(rows)));
}

TEST_CASE("residents leave the CPU's memory, unless they are kept there") {
  for (const bool keep_ram : {false, true}) {
    const Placed placed(Placing{.name = "residents", .residents = {1, 4}, .keep_ram = keep_ram});
    const auto& cpu = placed.loaded("down", "cpu");
    const auto& gpu = placed.loaded("down", "cuda:0");
    CHECK(gpu.held == Numbers{1, 4});
    CHECK(gpu.slots == Numbers{-1, 0, -1, -1, 1});
    CHECK(gpu.held_count() == 2);
    CHECK(gpu.matrix(1) == 4);
    CHECK(cpu.held == (keep_ram ? Numbers{} : Numbers{0, 2, 3}));
    CHECK(cpu.slots == (keep_ram ? Numbers{} : Numbers{0, -1, 1, 2, -1}));
    CHECK(cpu.held_count() == (keep_ram ? experts : 3));
    CHECK(cpu.matrix(2) == (keep_ram ? 2 : 3));
    REQUIRE(placed.parts.size() == 1);  // both come of one reading of the checkpoint
    const auto& weight = placed.parts[0].weights[1];
    REQUIRE(weight.targets.size() == 2);
    CHECK(weight.bytes_of(weight.job.destinations[0]) ==
          static_cast<uint64_t>((keep_ram ? experts : 3) * packed(rows)));
    CHECK(weight.bytes_of(weight.job.destinations[1]) == static_cast<uint64_t>(2 * packed(rows)));
    CHECK(weight.entry_bytes() == static_cast<uint64_t>(experts * packed(rows)));
  }
}

TEST_CASE("where all experts are residents nothing is left elsewhere") {
  const Placed placed(Placing{.name = "all", .device = "cuda:0", .residents = {0, 1, 2, 3, 4}});
  CHECK(placed.loaded("gate", "cuda:0").held_count() == 0);
  CHECK(placed.loaded("gate", "cuda:1").held_count() == experts);
  const auto& weight = placed.parts[0].weights[0];
  CHECK(weight.bytes_of(weight.job.destinations[0]) == 0);
}

TEST_CASE("a copy for prompts is a part of its own, but not what is streamed") {
  const Placed twice(Placing{.name = "twice", .prefill_device = "cuda:0", .residents = {2}});
  REQUIRE(twice.parts.size() == 2);
  CHECK(twice.modules[0].size() == 6);
  // At home with the residents; the copy holds all.
  CHECK(twice.parts[0].weights[0].targets.size() == 2);
  REQUIRE(twice.parts[1].weights[0].targets.size() == 1);
  const auto& copy = *twice.parts[1].weights[0].targets[0].weight;
  CHECK(device::to_string(copy.place) == "cuda:0");
  CHECK(copy.held_count() == experts);

  const Placed streamed(Placing{.name = "streamed", .prefill_device = "cuda:0", .stream = true});
  CHECK(streamed.parts.size() == 1);
  CHECK(streamed.modules[0].size() == 2);
}

TEST_CASE("each NUMA node's destination is noted, a GPU has none") {
  const Placed placed(Placing{.name = "shards", .residents = {0}, .cuts = {16, rows}});
  const auto& weight = placed.parts[0].weights[0];
  REQUIRE(weight.targets.size() == 2);
  CHECK(weight.targets[0].nodes == std::vector<int>{0, 1});
  CHECK(weight.targets[0].first == 0);
  CHECK(weight.targets[0].count == 2);
  CHECK(weight.targets[1].nodes.empty());
  CHECK(weight.targets[1].first == 2);
  CHECK(weight.targets[1].count == 1);
  CHECK(weight.job.destinations[1].row_begin == 16);
  const auto shards = weight.shards();
  REQUIRE(shards.size() == 2);
  CHECK(shards[1].row_end == rows);
}

TEST_CASE("an entry is the same whatever the residency, and finds its way to any other") {
  // Of one cut of the rows each: only that is part of an entry's layout.
  const std::vector<std::vector<Placing>> families{
      {{.name = "CPU"},
       {.name = "residents", .residents = {1, 4}},
       {.name = "first and last", .residents = {0, 1, 4}},
       {.name = "kept", .residents = {1, 4}, .keep_ram = true},
       {.name = "all", .residents = {0, 1, 2, 3, 4}},
       {.name = "GPU", .device = "cuda:0"},
       {.name = "two GPUs", .device = "cuda:0", .residents = {2}},
       {.name = "copies", .copies = 2},
       {.name = "copies and residents", .residents = {0, 3}, .copies = 2}},
      {{.name = "shards", .cuts = {16, rows}},
       {.name = "shards and residents", .residents = {1, 4}, .cuts = {16, rows}},
       {.name = "kept beside shards", .residents = {1}, .keep_ram = true, .cuts = {16, rows}},
       {.name = "no shards but residents", .residents = {0, 1, 2, 3, 4}, .cuts = {16, rows}}}};
  for (const auto& family : families) {
    const Placed first(family.front());
    fill(first.parts[0]);
    const auto entry = entry_of(first.parts[0]);
    CHECK(entry.size() == first.parts[0].bytes);
    for (const auto& placing : family) {
      INFO(placing.name);
      const Placed from(placing), to(placing);
      CHECK(from.parts[0].bytes == entry.size());
      fill(from.parts[0]);
      CHECK(entry_of(from.parts[0]) == entry);
      CHECK(wrong_groups(to.parts[0]) > 0);
      read_entry(to.parts[0], entry);
      CHECK(wrong_groups(to.parts[0]) == 0);
      CHECK(to.is_within());
    }
  }
}

TEST_CASE("pieces of an entry that lie behind each other are one") {
  const Placed whole(Placing{.name = "CPU"});
  CHECK(engine::entry_pieces(whole.parts[0]).size() == 2);  // gate, down
  const Placed split(Placing{.name = "residents", .residents = {0, 1}});
  CHECK(engine::entry_pieces(split.parts[0]).size() == 4);
}
