// Writes the tensors of a file with random numbers, by several threads.
#include "engine/synth/tensor_writer.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "engine/synth/random.hpp"
#include "engine/synth/random_numbers.hpp"

namespace ktx::engine {
namespace {

constexpr uint64_t chunk_bytes = uint64_t{4} << 20;  // about; a chunk is made and written at once

/// A tensor's source of numbers; tensors of one distribution share it.
class Sources {
 public:
  size_t index_of(const Numbers& numbers) {
    const auto found = std::find(kinds_.begin(), kinds_.end(), numbers);
    if (found != kinds_.end()) return static_cast<size_t>(found - kinds_.begin());
    kinds_.push_back(numbers);
    made_.push_back(numbers.around ? RandomNumbers::around(numbers.format, numbers.parameter)
                                   : RandomNumbers::spread(numbers.format, numbers.parameter));
    return made_.size() - 1;
  }
  const RandomNumbers& operator[](size_t index) const { return made_[index]; }

 private:
  std::vector<Numbers> kinds_;
  std::vector<RandomNumbers> made_;
};

struct Chunk {
  size_t source;
  uint64_t seed, offset, bytes;
};

/// The file cut into chunks; each begins a unit of its numbers.
std::vector<Chunk> cut(const TensorFile& file, uint64_t seed, Sources& sources) {
  std::vector<Chunk> chunks;
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    const SynthTensor& tensor = file.tensors[i];
    const size_t source = sources.index_of(tensor.numbers);
    const uint64_t unit = sources[source].unit_bytes(), most = chunk_bytes / unit * unit;
    const uint64_t tensor_seed = mixed_seed(seed, hash(tensor.name));
    const uint64_t size = tensor.bytes();
    for (uint64_t begin = 0; begin < size; begin += most)
      chunks.push_back({.source = source,
                        .seed = mixed_seed(tensor_seed, begin),
                        .offset = file.layout.offsets[i] + begin,
                        .bytes = std::min(most, size - begin)});
  }
  return chunks;
}

/// What the threads share. The first exception stops them all.
class Job {
 public:
  Job(base::PartialFile& out, const Sources& sources, const std::vector<Chunk>& chunks,
      const WriteOptions& options)
      : out_(out), sources_(sources), chunks_(chunks), options_(options) {}

  void work() noexcept {
    try {
      std::vector<std::byte> buffer(chunk_bytes);
      for (size_t i; !stopped_ && (i = next_++) < chunks_.size();) write(chunks_[i], buffer);
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
  void write(const Chunk& chunk, std::span<std::byte> buffer) {
    const auto bytes = buffer.first(chunk.bytes);
    sources_[chunk.source].fill(bytes, chunk.seed);
    out_.write(chunk.offset, bytes);
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
  const Sources& sources_;
  const std::vector<Chunk>& chunks_;
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
  Sources sources;
  const std::vector<Chunk> chunks = cut(file, options.seed, sources);
  Job job(out, sources, chunks, options);
  {
    std::vector<std::jthread> threads;
    for (int i = 1; i < options.threads; ++i) threads.emplace_back([&job] { job.work(); });
    job.work();
  }
  job.rethrow();
}

}  // namespace ktx::engine
