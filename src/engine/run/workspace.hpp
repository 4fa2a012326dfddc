// All memory that one step in flight writes: values, scratch, and lists of the batch's rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/buffer.hpp"
#include "engine/run/program.hpp"
#include "ops/attention/kv_pages.hpp"

namespace ktx::engine {

/// The f32 numbers of a value: row t is at data + t * stride.
struct ValueView {
  float* data = nullptr;
  int64_t stride = 0, width = 0;
};

/// One step at a time; several workspaces of a program serve several steps.
class Workspace {
 public:
  /// On several NUMA nodes memory is interleaved. Throws environment error when there is not
  /// enough.
  Workspace(const Program& program, const hw::Machine& machine);

  ValueView view(const ValueRef& value) noexcept {
    return {places_[static_cast<size_t>(value.place)].values.as<float>() + value.offset,
            value.stride, value.width};
  }
  /// Shared by the commands of a place, which run one after another.
  std::byte* scratch(int place) noexcept {
    return places_[static_cast<size_t>(place)].scratch.data();
  }

  std::vector<int32_t> experts_per_token;    // [max_rows] of the layer being run
  std::vector<ops::SequenceRows> sequences;  // [max_sequences] as attention reads them

 private:
  struct PlaceMemory {
    base::Buffer values, scratch;
  };
  std::vector<PlaceMemory> places_;
};

}  // namespace ktx::engine
