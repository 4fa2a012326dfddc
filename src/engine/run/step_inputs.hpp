// The arrays that describe a batch to a GPU, copied there at the beginning of each step.
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

/// The size of the largest batch, and the defaults in which layers differ.
struct InputShape {
  int64_t rows = 0, sequences = 0, pages = 0;  // pages: of a sequence
  std::vector<int> default_experts;            // distinct numbers of experts per token

  static InputShape of(const Program& program);
};

/// All arrays are i32 and in one block, so that a single copy transfers them.
class StepInputs {
 public:
  /// Throws environment error when there is not enough memory.
  StepInputs(InputShape shape, device::Queue& queue);

  /// Fills the staging memory, once its previous content has been copied. Rows and sequences beyond
  /// the batch's are marked unused.
  void stage(const Batch& batch) noexcept;
  /// Submits the copy to the GPU.
  void upload() noexcept;
  /// To be called after upload(), or after launching a graph that contains it: stage() waits until
  /// this point in the queue.
  void mark_uploaded() noexcept { queue_.record(*copied_); }

  const InputShape& shape() const noexcept { return shape_; }
  // In the GPU's memory.
  const int32_t* ids() const noexcept { return at(ids_); }              // [rows] -1: unused
  const int32_t* first_row() const noexcept { return at(first_row_); }  // [sequences]
  const int32_t* row_count() const noexcept { return at(row_count_); }  // [sequences]
  const int32_t* past() const noexcept { return at(past_); }            // [sequences]
  const int32_t* pages() const noexcept { return at(pages_); }          // [sequences, pages]
  /// [rows] for layers with that default; 0: an unused row.
  const int32_t* experts_per_token(int layer_default) const noexcept;
  // Derived by kernels.
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
