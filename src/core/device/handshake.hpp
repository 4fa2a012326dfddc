// Lets the CPU and a GPU exchange data in the middle of a GPU's work, even within a captured graph
// and without host nodes: each side raises a flag in pinned memory that the other one polls.
//
//   GPU, in its queue:    … post(hidden state, routing) → shared expert → wait(sum) …
//   CPU, one thread:      wait_posted() → experts → answer(), once for every post
//
// Rules; if they are violated, both sides wait until a deadline:
// - Between a post and its answer, no thread that the answer depends on may call a CUDA function,
//   and no thread may launch a kernel for the first time while the GPU waits: loading a kernel
//   waits for an idle GPU and holds a lock meanwhile. Captured graphs have already loaded theirs.
// - With CUDA_LAUNCH_BLOCKING=1 the answer must come from a thread other than the launching one.
#pragma once

#include <array>
#include <chrono>

#include "core/device/handshake_flags.hpp"
#include "core/device/memory.hpp"
#include "core/device/queue.hpp"

namespace ktx::device {

/// Rows of numbers that post() or wait() copies.
struct Piece {
  enum class Numbers {
    words,  // 32-bit words, copied as they are: f32, i32
    bf16    // converted to f32
  };

  const void* from = nullptr;
  void* to = nullptr;
  int32_t rows = 0;         // 0: no piece
  int32_t width = 0;        // numbers of a row
  int64_t from_stride = 0;  // numbers from row to row
  int64_t to_stride = 0;
  Numbers numbers = Numbers::words;
  /// If given, f32 in the GPU's memory that is added: to = from + add. May be the same as `to`.
  const float* add = nullptr;
  int64_t add_stride = 0;
};
/// Fastest if addresses and strides are multiples of 16 bytes (bf16: 8).
using Pieces = std::array<Piece, 4>;

struct HandshakeDeadlines {
  std::chrono::nanoseconds answer = std::chrono::seconds(1);  // how long the GPU waits
  std::chrono::nanoseconds post = std::chrono::seconds(30);   // how long the CPU waits
};

/// The handshake of one queue. After a failure, status() says what happened, and the GPU skips all
/// further posts and waits; its results are then meaningless. reset() starts over.
class Handshake {
 public:
  /// queue: of a GPU. The handshake's kernels are loaded when the call returns.
  explicit Handshake(Queue& queue, HandshakeDeadlines deadlines = {});
  /// A GPU that still waits is released; freeing its memory waits for it.
  ~Handshake() { abort(); }
  Handshake(const Handshake&) = delete;
  Handshake& operator=(const Handshake&) = delete;

  // The GPU's side, submitted to the queue.

  /// Copies pieces from the GPU's memory to pinned memory and raises the GPU's flag.
  void post(const Pieces& pieces) const noexcept;
  /// Waits, on the GPU, for the answer to the last post, then copies pieces from pinned memory to
  /// the GPU's memory.
  void wait(const Pieces& pieces) const noexcept;

  // The CPU's side: one thread at a time, except for abort() and status().

  /// Polls until the next post has arrived and the data that it copied can be read. False after a
  /// failure of either side; the GPU then no longer waits for anything.
  bool wait_posted() noexcept;
  /// Answers the post that wait_posted() saw. The data that the GPU's wait copies must have been
  /// written, by this thread or by threads that it has waited for; non-temporal stores must have
  /// been fenced by whoever made them.
  void answer() noexcept;
  /// Announces that no more answers will come, which releases the GPU. From any thread.
  void abort() noexcept { give_up(HandshakeStatus::aborted); }
  /// The status of both sides. The last wait of a launch can still time out after its answer was
  /// given, so check again after waiting for the queue.
  HandshakeStatus status() const noexcept;
  /// Waits for the queue and starts over. Throws environment error when the queue has failed.
  void reset();

  /// For the kernels.
  const HandshakeFlags& flags() const noexcept { return flags_; }

 private:
  void give_up(HandshakeStatus why) noexcept;

  Queue& queue_;
  HandshakeDeadlines deadlines_;
  Block lines_, state_;
  HandshakeFlags flags_;
  uint32_t epoch_ = 0;  // of the last post that wait_posted() saw
};

}  // namespace ktx::device
