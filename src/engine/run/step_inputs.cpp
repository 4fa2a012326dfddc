// The arrays of a batch.
#include "engine/run/step_inputs.hpp"

#include <algorithm>
#include <utility>

#include "core/graph/kv_row.hpp"
#include "engine/run/program.hpp"

namespace ktx::engine {

InputShape InputShape::of(const Program& program) {
  return {.rows = program.max_rows(),
          .sequences = program.max_sequences(),
          .pages = program.max_pages(),
          .default_experts = {program.default_experts().begin(), program.default_experts().end()}};
}

StepInputs::StepInputs(InputShape shape, device::Queue& queue)
    : shape_(std::move(shape)), queue_(queue) {
  int64_t numbers = 0;
  const auto take = [&](int64_t count) {
    return std::exchange(numbers, numbers + (count + 63) / 64 * 64);
  };
  ids_ = take(shape_.rows);
  first_row_ = take(shape_.sequences);
  row_count_ = take(shape_.sequences);
  past_ = take(shape_.sequences);
  pages_ = take(shape_.sequences * shape_.pages);
  experts_ = take(shape_.rows * static_cast<int64_t>(shape_.default_experts.size()));
  uploaded_ = numbers;
  sequence_of_ = take(shape_.rows);
  position_of_ = take(shape_.rows);
  pages_before_ = take(shape_.rows + 1);
  on_gpu_ = device::alloc(queue.place(), static_cast<size_t>(numbers) * sizeof(int32_t));
  staging_ =
      device::alloc({}, static_cast<size_t>(uploaded_) * sizeof(int32_t), device::Pinned::yes);
  copied_ = queue.make_event();
}

void StepInputs::stage(const Batch& batch) noexcept {
  copied_->synchronize();
  std::fill_n(std::copy(batch.ids.begin(), batch.ids.end(), staged(ids_)),
              shape_.rows - batch.rows(), -1);
  for (int64_t s = 0; s < shape_.sequences; ++s) {
    const bool used = s < static_cast<int64_t>(batch.sequences.size());
    const Sequence sequence = used ? batch.sequences[static_cast<size_t>(s)] : Sequence{};
    staged(first_row_)[s] = static_cast<int32_t>(sequence.first_row);
    staged(row_count_)[s] = static_cast<int32_t>(sequence.rows);
    staged(past_)[s] = static_cast<int32_t>(sequence.past);
    if (used)
      std::copy_n(sequence.pages, graph::pages_of(sequence.past + sequence.rows),
                  staged(pages_) + s * shape_.pages);
  }
  stage_experts(batch);
}

void StepInputs::stage_experts(const Batch& batch) noexcept {
  int32_t* counts = staged(experts_);
  for (const int layer_default : shape_.default_experts) {
    std::fill_n(counts, shape_.rows, 0);
    for (const auto& sequence : batch.sequences)
      std::fill_n(counts + sequence.first_row, sequence.rows,
                  sequence.experts_per_token > 0 ? sequence.experts_per_token : layer_default);
    counts += shape_.rows;
  }
}

void StepInputs::upload() noexcept {
  queue_.copy(on_gpu_.data(), staging_.data(), static_cast<size_t>(uploaded_) * sizeof(int32_t));
}

const int32_t* StepInputs::experts_per_token(int layer_default) const noexcept {
  const auto& defaults = shape_.default_experts;
  const auto i = std::ranges::find(defaults, layer_default) - defaults.begin();
  return at(experts_) + i * shape_.rows;
}

}  // namespace ktx::engine
