// Weights by rule and layer.
#include "engine/load/weight_parts.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "core/base/error.hpp"

namespace ktx::engine {

namespace {

LoadedWeight describe(const graph::Weight& weight, const placement::PlannedWeight& planned,
                      const device::Place& place) {
  LoadedWeight loaded;
  loaded.role = weight.role;
  loaded.place = place;
  loaded.format = planned.format;
  loaded.layout = planned.layout;
  loaded.count = weight.count;
  loaded.rows = weight.rows;
  loaded.cols = weight.cols;
  loaded.matrix_bytes = planned.parts.front().matrix_bytes;
  return loaded;
}

// Leaves the matrices of `held` alone.
void hold_only(LoadedWeight& weight, std::span<const int32_t> held) {
  weight.held.assign(held.begin(), held.end());
  weight.slots.assign(static_cast<size_t>(weight.count), -1);
  for (size_t i = 0; i < held.size(); ++i)
    weight.slots[static_cast<size_t>(held[i])] = static_cast<int32_t>(i);
}

std::vector<int32_t> all_but(std::span<const int32_t> some, int64_t count) {
  std::vector<int32_t> others;
  for (int32_t i = 0; i < count; ++i)
    if (!std::ranges::binary_search(some, i)) others.push_back(i);
  return others;
}

device::Place place_of(const std::string& name) {
  const auto place = device::parse_device(name);
  require(place.has_value(), "the plan names no device");
  return *place;
}

// A module's weights on all devices that hold some of it.
void describe_module(const placement::PlannedModule& planned, const graph::Module& module,
                     std::vector<LoadedWeight>& out) {
  const auto add = [&](const std::string& device,
                       const std::vector<placement::PlannedWeight>& weights) {
    for (size_t i = 0; i < module.weights.size(); ++i)
      out.push_back(describe(module.weights[i], weights[i], place_of(device)));
    return std::span(out).last(module.weights.size());
  };
  const auto& residents = planned.residents.experts;
  auto home = add(planned.device, planned.weights);
  if (!residents.empty() && !planned.residents.keep_ram)
    for (auto& weight : home) hold_only(weight, all_but(residents, weight.count));
  if (planned.prefill_device != planned.device && !planned.stream)
    add(planned.prefill_device, planned.prefill_weights);
  if (residents.empty()) return;
  for (auto& weight : add(planned.residents.device, planned.weights)) {
    hold_only(weight, residents);
    weight.matrix_bytes = ops::packed_bytes(weight.layout, weight.format, weight.rows, weight.cols);
  }
}

// Adds the destinations of a weight on a device to its job; they have no memory yet.
void add_target(PartWeight& to, LoadedWeight& weight, const placement::PlannedWeight& planned) {
  auto& destinations = to.job.destinations;
  Target target{&weight, destinations.size(), 0, {}};
  const int32_t* slots = weight.slots.empty() ? nullptr : weight.slots.data();
  if (weight.is_on_gpu()) {
    destinations.push_back({nullptr, 0, weight.rows, weight.matrix_bytes, slots});
  } else {
    for (const auto& part : planned.parts) {
      destinations.push_back({nullptr, part.row_begin, part.row_end, part.matrix_bytes, slots});
      target.nodes.push_back(part.node);
    }
  }
  target.count = destinations.size() - target.first;
  to.targets.push_back(std::move(target));
}

}  // namespace

std::vector<Destination> PartWeight::shards() const {
  std::vector<Destination> out;
  for (const auto& to : job.destinations)
    if (out.empty() || to.row_begin == out.back().row_end) out.push_back(to);
  return out;
}

uint64_t PartWeight::bytes_of(const Destination& to) const {
  int64_t count = job.weight->count;
  if (to.slots != nullptr)
    count = std::count_if(to.slots, to.slots + job.weight->count, [](int s) { return s >= 0; });
  return static_cast<uint64_t>(count * to.matrix_bytes);
}

uint64_t PartWeight::entry_bytes() const {
  int64_t bytes = 0;
  for (const auto& shard : shards()) bytes += job.weight->count * shard.matrix_bytes;
  return static_cast<uint64_t>(bytes);
}

std::vector<const LoadJob*> Part::jobs() const {
  std::vector<const LoadJob*> out;
  for (const auto& weight : weights) out.push_back(&weight.job);
  return out;
}

std::vector<Part> parts_of(const placement::Plan& plan, LoadedModules& modules) {
  std::vector<Part> parts;
  // By layer, rule, and whether it is the copy for prompts alone.
  std::map<std::tuple<int, std::string, bool>, size_t> known;
  for (const auto& planned : plan.modules) {
    const auto& module = plan.module_of(planned);
    auto& loaded = modules[static_cast<size_t>(planned.module)];
    describe_module(planned, module, loaded);
    const size_t count = module.weights.size();
    const bool is_twice = planned.prefill_device != planned.device && !planned.stream;
    for (size_t i = 0; i < loaded.size(); ++i) {
      const bool second = is_twice && i / count == 1;
      const auto& of = (second ? planned.prefill_weights : planned.weights)[i % count];
      const auto [at, is_new] =
          known.try_emplace({module.layer, planned.rule_name, second}, parts.size());
      if (is_new) parts.emplace_back();
      auto& weights = parts[at->second].weights;
      const auto* stored = &module.weights[i % count];
      auto same = std::ranges::find_if(weights,
                                       [&](const PartWeight& w) { return w.job.weight == stored; });
      if (same == weights.end()) {
        weights.push_back({{&module, stored, of.format, of.layout, {}}, {}});
        same = weights.end() - 1;
      }
      add_target(*same, loaded[i], of);
    }
  }
  for (auto& part : parts)
    for (const auto& weight : part.weights) part.bytes += weight.entry_bytes();
  return parts;
}

std::vector<EntryPiece> entry_pieces(const Part& part) {
  std::vector<EntryPiece> pieces;
  for (const auto& weight : part.weights) {
    int64_t before = 0;  // bytes of a matrix in the shards before
    for (const auto& shard : weight.shards()) {
      for (int64_t m = 0; m < weight.job.weight->count; ++m) {
        const auto holder = std::ranges::find_if(weight.job.destinations, [&](const auto& to) {
          return to.slot(m) >= 0 && to.row_begin <= shard.row_begin && to.row_end >= shard.row_end;
        });
        const bool own = holder->row_begin == shard.row_begin;
        std::byte* data =
            holder->data + holder->slot(m) * holder->matrix_bytes + (own ? 0 : before);
        const auto bytes = static_cast<uint64_t>(shard.matrix_bytes);
        if (!pieces.empty() && pieces.back().data + pieces.back().bytes == data)
          pieces.back().bytes += bytes;
        else
          pieces.push_back({data, bytes});
      }
      before += shard.matrix_bytes;
    }
  }
  return pieces;
}

void each_copy(const Part& part, const std::function<void(std::byte*, uint64_t, uint64_t)>& copy) {
  uint64_t entry = 0;
  for (const auto& weight : part.weights) {
    const int64_t count = weight.job.weight->count;
    for (const auto& to : weight.job.destinations) {
      uint64_t offset = entry;
      int64_t before = 0;
      for (const auto& shard : weight.shards()) {
        const auto bytes = static_cast<uint64_t>(shard.matrix_bytes);
        const bool here = to.row_begin <= shard.row_begin && to.row_end >= shard.row_end;
        for (int64_t m = 0; m < count; ++m, offset += bytes)
          if (here && to.slot(m) >= 0)
            copy(to.data + to.slot(m) * to.matrix_bytes + before, offset, bytes);
        if (here) before += shard.matrix_bytes;
      }
    }
    entry += weight.entry_bytes();
  }
}

}  // namespace ktx::engine
