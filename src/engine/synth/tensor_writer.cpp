// Writes the tensors of a file with random numbers, by several threads.
#include "engine/synth/tensor_writer.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "engine/synth/tensor_bytes.hpp"

namespace ktx::engine {
namespace {

/// A piece of a tensor, made and written at once.
struct Chunk {
  size_t tensor;
  uint64_t begin, bytes;
};

std::vector<Chunk> cut(const std::vector<TensorBytes>& tensors) {
  constexpr uint64_t most = NumberRing::longest;
  std::vector<Chunk> chunks;
  for (size_t i = 0; i < tensors.size(); ++i)
    for (uint64_t begin = 0; begin < tensors[i].size(); begin += most)
      chunks.push_back({i, begin, std::min(most, tensors[i].size() - begin)});
  return chunks;
}

/// What the threads share. The first exception stops them all.
class Job {
 public:
  Job(base::PartialFile& out, const TensorFile& file, const WriteOptions& options)
      : out_(out), offsets_(file.layout.offsets), options_(options) {
    const auto rings = std::make_shared<NumberRings>(options.seed);
    for (const SynthTensor& tensor : file.tensors) tensors_.emplace_back(tensor, rings);
    chunks_ = cut(tensors_);
  }

  void work() noexcept {
    try {
      for (size_t i; !stopped_ && (i = next_++) < chunks_.size();) write(chunks_[i]);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
      stopped_ = true;
    }
  }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void write(const Chunk& chunk) {
    const std::byte* bytes = tensors_[chunk.tensor].read(chunk.begin, chunk.bytes, {});
    out_.write(offsets_[chunk.tensor] + chunk.begin, {bytes, chunk.bytes});
    const std::lock_guard lock(mutex_);
    if (!options_.wrote || stopped_) return;
    try {
      options_.wrote(chunk.bytes);
    } catch (...) {
      stopped_ = true;  // before the lock goes to a thread that would report once more
      throw;
    }
  }

  base::PartialFile& out_;
  const std::vector<uint64_t>& offsets_;
  std::vector<TensorBytes> tensors_;
  std::vector<Chunk> chunks_;
  const WriteOptions& options_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace

void write_tensors(base::PartialFile& out, const TensorFile& file, const WriteOptions& options) {
  out.resize(file.layout.size);
  out.write(0, std::as_bytes(std::span(file.layout.header)));
  Job job(out, file, options);
  {
    std::vector<std::jthread> threads;
    for (int i = 1; i < options.threads; ++i) threads.emplace_back([&job] { job.work(); });
    job.work();
  }
  job.rethrow();
}

}  // namespace ktx::engine
