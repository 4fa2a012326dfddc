// Readers and consumers around one lock: a block is megabytes, the lock is taken twice a block.
#include "engine/load/read_ahead.hpp"

#include <algorithm>
#include <utility>

namespace ktx::engine {

namespace {

constexpr size_t page = 4096;

size_t whole_pages(size_t bytes) noexcept {
  return (bytes + page - 1) / page * page;
}

}  // namespace

int64_t ReadAhead::buffers(int64_t blocks, int consumers) noexcept {
  return std::min<int64_t>(blocks, readers + consumers);
}

uint64_t ReadAhead::memory_bytes(int64_t blocks, size_t buffer_bytes, int consumers) noexcept {
  return whole_pages(buffer_bytes) * static_cast<uint64_t>(buffers(blocks, consumers));
}

ReadAhead::ReadAhead(int64_t blocks, size_t buffer_bytes, int consumers, Read read)
    : read_(std::move(read)),
      blocks_(blocks),
      buffer_bytes_(whole_pages(buffer_bytes)),
      memory_(memory_bytes(blocks, buffer_bytes, consumers), true) {
  // A source that needs no scratch gets buffers of no bytes, as many as of any other size.
  for (int64_t i = 0; i < buffers(blocks, consumers); ++i)
    free_.push_back(memory_.data() + static_cast<size_t>(i) * buffer_bytes_);
  const auto count = std::min<int64_t>(readers, blocks);
  try {
    for (int64_t i = 0; i < count; ++i) threads_.emplace_back([this] { read_blocks(); });
  } catch (...) {
    if (threads_.empty()) throw;  // one is enough
  }
}

ReadAhead::~ReadAhead() {
  fail(nullptr);
  for (auto& thread : threads_) thread.join();
}

void ReadAhead::read_blocks() {
  std::unique_lock lock(mutex_);
  for (;;) {
    freed_.wait(lock, [&] { return stopped_ || next_ == blocks_ || !free_.empty(); });
    if (stopped_ || next_ == blocks_) return;
    Block block{.index = next_++, .buffer = free_.back()};
    free_.pop_back();
    if (next_ == blocks_) freed_.notify_all();
    lock.unlock();
    try {
      block.bytes = read_(block.index, {block.buffer, buffer_bytes_});
    } catch (...) {
      fail(std::current_exception());
      return;
    }
    lock.lock();
    ready_.push_back(block);
    block_ready_.notify_one();
  }
}

std::optional<ReadAhead::Block> ReadAhead::take() {
  std::unique_lock lock(mutex_);
  block_ready_.wait(lock, [&] { return stopped_ || taken_ == blocks_ || !ready_.empty(); });
  if (stopped_ || taken_ == blocks_) return std::nullopt;
  const Block block = ready_.front();
  ready_.pop_front();
  if (++taken_ == blocks_) block_ready_.notify_all();
  return block;
}

void ReadAhead::give_back(const Block& block) {
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(block.buffer);
  }
  freed_.notify_one();
}

void ReadAhead::fail(std::exception_ptr failure) noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    if (!failure_) failure_ = std::move(failure);
  }
  freed_.notify_all();
  block_ready_.notify_all();
}

void ReadAhead::rethrow() const {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

}  // namespace ktx::engine
