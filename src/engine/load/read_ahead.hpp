// Reads numbered blocks ahead of their consumers, on threads that keep the disk busy.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "core/base/buffer.hpp"

namespace ktx::engine {

/// Reads blocks 0, 1, 2, … in this order, several at a time, into a fixed number of buffers.
class ReadAhead {
 public:
  /// Reads a block into the buffer and returns where its bytes begin. May throw.
  using Read = std::function<const std::byte*(int64_t block, std::span<std::byte> buffer)>;

  /// Concurrent reads: enough to saturate a disk or an array of disks.
  static constexpr int readers = 8;

  /// Bytes of its buffers: one per reader and consumer, but no more than there are blocks.
  static uint64_t memory_bytes(int64_t blocks, size_t buffer_bytes, int consumers) noexcept;

  ReadAhead(int64_t blocks, size_t buffer_bytes, int consumers, Read read);
  /// Waits for the reads in flight.
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  struct Block {
    int64_t index = 0;
    const std::byte* bytes = nullptr;
    std::byte* buffer = nullptr;
  };
  /// Waits for the next block; nothing when all have been taken, or after a failure. May be called
  /// by any thread.
  std::optional<Block> take();
  /// Returns a block's buffer for reuse.
  void give_back(const Block& block);

  /// Stops reading: take() returns nothing more, and rethrow() throws the first failure.
  void fail(std::exception_ptr failure) noexcept;
  void rethrow() const;

 private:
  static int64_t buffers(int64_t blocks, int consumers) noexcept;
  void read_blocks();

  Read read_;
  int64_t blocks_, taken_ = 0, next_ = 0;
  size_t buffer_bytes_;
  base::Buffer memory_;
  mutable std::mutex mutex_;
  std::condition_variable freed_;        // for readers: a buffer, or no more to read
  std::condition_variable block_ready_;  // for consumers: a block, or no more to come
  std::vector<std::byte*> free_;
  std::deque<Block> ready_;
  std::exception_ptr failure_;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace ktx::engine
