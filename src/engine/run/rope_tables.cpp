// Tables made and copied once.
#include "engine/run/rope_tables.hpp"

#include <algorithm>
#include <span>

namespace ktx::engine {

bool same_rope(const graph::Rope& a, const graph::Rope& b) {
  return a.frequency == b.frequency && a.magnitude == b.magnitude && a.interleaved == b.interleaved;
}

const graph::Rope* rope_of(const graph::OpParams& params) {
  if (const auto* mla = std::get_if<graph::MlaParams>(&params)) return &mla->rotary;
  if (const auto* gqa = std::get_if<graph::GqaParams>(&params)) return &gqa->rotary;
  return nullptr;
}

const PlacedRope& RopeTables::get(const graph::Rope& rope, int place) {
  auto known =
      std::ranges::find_if(ropes_, [&](const auto& r) { return same_rope(r->rope, rope); });
  if (known == ropes_.end()) {
    ropes_.push_back(
        std::make_unique<PlacedRope>(PlacedRope{rope, ops::RopeTable(rope, positions_), {}}));
    known = ropes_.end() - 1;
  }
  PlacedRope& placed = **known;
  if (devices_ == nullptr) return placed;
  placed.on_gpus.resize(devices_->places().size());
  const auto& where = devices_->places()[static_cast<size_t>(place)];
  auto& block = placed.on_gpus[static_cast<size_t>(place)];
  if (where.kind == device::DeviceKind::cuda && block.size() == 0) {
    const auto numbers = std::as_bytes(std::span(placed.table.cos_sin()));
    block = device::alloc(where, numbers.size());
    devices_->queue(place).copy(block.data(), numbers.data(), numbers.size());
    devices_->queue(place).synchronize();
  }
  return placed;
}

}  // namespace ktx::engine
