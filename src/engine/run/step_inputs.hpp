// What a GPU is told of a batch: plain arrays, copied there at the beginning of each step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/device/memory.hpp"
#include "core/device/queue.hpp"
#include "engine/run/batch.hpp"

namespace ktx::engine {

class Program;

/// The largest batch, and what layers differ in.
struct InputShape {
  int64_t rows = 0, sequences = 0, pages = 0;  // pages: of a sequence
  std::vector<int> default_experts;            // experts a token, each number once

  static InputShape of(const Program& program);
};

/// All arrays are i32, one behind the other in one block, so that one copy brings them.
class StepInputs {
 public:
  /// Throws environment error when there is not enough memory.
  StepInputs(InputShape shape, device::Queue& queue);

  /// Fills in the staging memory, after what it held before has been copied. Rows and sequences
  /// beyond the batch's are unused ones.
  void stage(const Batch& batch) noexcept;
  /// In the queue: to the GPU.
  void upload() noexcept;
  /// In the queue, behind upload() or a graph that holds it: stage() waits until here.
  void mark_uploaded() noexcept { queue_.record(*copied_); }

  const InputShape& shape() const noexcept { return shape_; }
  // In the GPU's memory.
  const int32_t* ids() const noexcept { return at(ids_); }              // [rows] -1: unused
  const int32_t* first_row() const noexcept { return at(first_row_); }  // [sequences]
  const int32_t* row_count() const noexcept { return at(row_count_); }  // [sequences]
  const int32_t* past() const noexcept { return at(past_); }            // [sequences]
  const int32_t* pages() const noexcept { return at(pages_); }          // [sequences, pages]
  /// [rows] Of layers with that default; 0: an unused row.
  const int32_t* experts_per_token(int layer_default) const noexcept;
  // What kernels derive of them.
  int32_t* sequence_of() const noexcept { return at(sequence_of_); }    // [rows]
  int32_t* position_of() const noexcept { return at(position_of_); }    // [rows]
  int32_t* pages_before() const noexcept { return at(pages_before_); }  // [rows + 1]

 private:
  int32_t* at(int64_t offset) const noexcept { return on_gpu_.as<int32_t>() + offset; }
  int32_t* staged(int64_t offset) const noexcept { return staging_.as<int32_t>() + offset; }
  void stage_experts(const Batch& batch) noexcept;

  InputShape shape_;
  device::Queue& queue_;
  int64_t ids_ = 0, first_row_ = 0, row_count_ = 0, past_ = 0, pages_ = 0, experts_ = 0;
  int64_t uploaded_ = 0;  // numbers that are copied
  int64_t sequence_of_ = 0, position_of_ = 0, pages_before_ = 0;
  device::Block on_gpu_, staging_;
  std::unique_ptr<device::Event> copied_;
};

}  // namespace ktx::engine
