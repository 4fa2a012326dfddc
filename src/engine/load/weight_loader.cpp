// The list of all blocks, and the workers' loop over it.
#include "engine/load/weight_loader.hpp"

#include <algorithm>
#include <atomic>
#include <string>

#include "core/base/error.hpp"
#include "core/quant/finite_rows.hpp"
#include "engine/load/read_ahead.hpp"
#include "engine/load/weight_reader.hpp"

namespace ktx::engine {

namespace {

struct Item {
  size_t job;
  WeightBlock block;
};

class Loader {
 public:
  Loader(std::span<const LoadJob> jobs, const loader::TensorSource& source, int workers,
         const LoadHooks& hooks)
      : jobs_(jobs), hooks_(hooks), left_(jobs.size()), scratch_(static_cast<size_t>(workers)) {
    for (size_t j = 0; j < jobs.size(); ++j) {
      readers_.emplace_back(source, *jobs[j].weight);
      first_item_.push_back(items_.size());
      for (const auto& block : cut(*jobs[j].weight)) {
        items_.push_back({j, block});
        const auto rows = stored_rows(*jobs[j].weight, block);
        buffer_bytes_ =
            std::max(buffer_bytes_, readers_.back().scratch_bytes(rows.first, rows.count));
      }
      left_[j] = items_.size() - first_item_.back();
    }
    digests_.resize(items_.size());
  }

  void run(hw::WorkerPool& pool) {
    if (items_.empty()) return;
    ReadAhead blocks(static_cast<int64_t>(items_.size()), buffer_bytes_, pool.size(),
                     [this](int64_t index, std::span<std::byte> buffer) {
                       const auto& item = items_[static_cast<size_t>(index)];
                       const auto rows = stored_rows(*jobs_[item.job].weight, item.block);
                       return readers_[item.job].read(rows.first, rows.count, buffer);
                     });
    pool.run([&](int worker) noexcept {
      try {
        while (const auto block = blocks.take()) {
          consume(static_cast<size_t>(block->index), block->bytes, worker);
          blocks.give_back(*block);
        }
      } catch (...) {
        blocks.fail(std::current_exception());
      }
    });
    blocks.rethrow();
    if (hooks_.progress) hooks_.progress(*jobs_.back().module, done_);
  }

 private:
  void consume(size_t index, const std::byte* stored, int worker) {
    const auto& [j, block] = items_[index];
    const auto& job = jobs_[j];
    const auto bytes = stored_bytes(*job.weight, block);
    check_finite(readers_[j], *job.weight, block, stored);
    if (hooks_.packed) digests_[index] = base::digest({stored, static_cast<size_t>(bytes)});
    WeightPacker(*job.weight, job.format, job.layout)
        .pack(block, stored, job.destinations, scratch_[static_cast<size_t>(worker)]);
    const uint64_t done = done_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    if (worker == 0 && hooks_.progress) hooks_.progress(*job.module, done);
    const bool last = left_[j].fetch_sub(1, std::memory_order_acq_rel) == 1;
    if (last && hooks_.packed) hooks_.packed(j, content(j));
  }

  // A damaged scale would give answers that are no numbers, if any at all.
  static void check_finite(const WeightReader& reader, const graph::Weight& weight,
                           const WeightBlock& block, const std::byte* stored) {
    const auto rows = stored_rows(weight, block);
    const int64_t cols = stored_cols(weight);
    if (quant::are_finite(weight.source, stored, rows.count, cols)) return;
    int64_t row = 0;
    const int64_t row_bytes = quant::row_bytes(weight.source, cols);
    while (quant::are_finite(weight.source, stored + row * row_bytes, 1, cols)) ++row;
    const auto [tensor, tensor_row] = reader.stored_at(rows.first + row);
    const bool plain = quant::info(weight.source).block == 1;
    throw_input("tensor '" + tensor->name + "': " + (plain ? "a weight" : "a scale") + " of row " +
                    std::to_string(tensor_row) + " is NaN or infinite: the file is damaged",
                tensor->where);
  }

  base::Digest content(size_t job) const {
    const size_t end = job + 1 < first_item_.size() ? first_item_[job + 1] : items_.size();
    return base::digest(
        std::as_bytes(std::span(digests_).subspan(first_item_[job], end - first_item_[job])));
  }

  std::span<const LoadJob> jobs_;
  const LoadHooks& hooks_;
  std::vector<WeightReader> readers_;      // one a job
  std::vector<size_t> first_item_;         // of a job
  std::vector<std::atomic<size_t>> left_;  // blocks of a job that are not packed yet
  std::vector<Item> items_;
  std::vector<base::Digest> digests_;  // of each item's stored bytes
  size_t buffer_bytes_ = 0;
  std::vector<PackScratch> scratch_;  // one a worker
  std::atomic<uint64_t> done_{0};
};

}  // namespace

void load_weights(std::span<const LoadJob> jobs, const loader::TensorSource& source,
                  hw::WorkerPool& pool, const LoadHooks& hooks) {
  Loader(jobs, source, pool.size(), hooks).run(pool);
}

uint64_t loading_bytes(const graph::Model& model, const loader::TensorSource& source, int workers) {
  size_t buffer = 0;
  int64_t blocks = 0;
  uint64_t scratch = 0;
  for (const auto& module : model.modules) {
    if (!module.unused.empty()) continue;
    for (const auto& weight : module.weights) {
      const WeightReader reader(source, weight);
      for (const auto& block : cut(weight)) {
        const auto rows = stored_rows(weight, block);
        buffer = std::max(buffer, reader.scratch_bytes(rows.first, rows.count));
        ++blocks;
      }
      // f32, the widest of all formats.
      scratch = std::max(scratch, WeightPacker::scratch_bytes(weight, quant::Format::f32));
    }
  }
  return ReadAhead::memory_bytes(blocks, buffer, workers) +
         scratch * static_cast<uint64_t>(workers);
}

}  // namespace ktx::engine
