// How the CPU and a GPU meet in the middle of a GPU's work, a captured graph's too, without host
// nodes: each raises a flag in pinned memory that the other one polls.
//
//   GPU, in its queue:    … post(hidden state, routing) → shared expert → wait(sum) …
//   CPU, one thread:      wait_posted() → experts → answer(), once for every post
//
// Rules, without which both wait until a deadline:
// - Between a post and its answer the CPU calls no CUDA function in any thread that the answer
//   needs, and no kernel is launched for the first time in any thread while the GPU waits: loading
//   one waits for an idle GPU, and holds a lock meanwhile. Captured graphs have loaded theirs.
// - With CUDA_LAUNCH_BLOCKING=1 another thread than the launching one must answer.
#pragma once

#include <array>
#include <chrono>

#include "core/device/handshake_flags.hpp"
#include "core/device/memory.hpp"
#include "core/device/queue.hpp"

namespace ktx::device {

/// Rows of numbers that a post or a wait copies.
struct Piece {
  enum class Numbers {
    words,  // 32 bits as they are: f32, i32
    bf16    // arrive as f32
  };

  const void* from = nullptr;
  void* to = nullptr;
  int32_t rows = 0;         // 0: no piece
  int32_t width = 0;        // numbers of a row
  int64_t from_stride = 0;  // numbers from row to row
  int64_t to_stride = 0;
  Numbers numbers = Numbers::words;
  /// f32 in the GPU's memory, where given: it arrives as from + add. May be `to`.
  const float* add = nullptr;
  int64_t add_stride = 0;
};
/// Fastest where addresses and strides are multiples of 16 bytes (of bf16: 8).
using Pieces = std::array<Piece, 4>;

struct HandshakeDeadlines {
  std::chrono::nanoseconds answer = std::chrono::seconds(1);  // how long the GPU waits
  std::chrono::nanoseconds post = std::chrono::seconds(30);   // how long the CPU waits
};

/// Of one queue. Once something goes wrong, status() says what, and the GPU falls through every
/// post and wait that is left; what it computes then is worthless. After reset() both begin anew.
class Handshake {
 public:
  /// queue: of a GPU. Its kernels are loaded when the call returns.
  explicit Handshake(Queue& queue, HandshakeDeadlines deadlines = {});
  /// A GPU that still waits falls through; freeing its memory waits for it.
  ~Handshake() { abort(); }
  Handshake(const Handshake&) = delete;
  Handshake& operator=(const Handshake&) = delete;

  // The GPU's side, submitted to the queue.

  /// Copies pieces from the GPU's memory to pinned memory and raises the GPU's flag.
  void post(const Pieces& pieces) const noexcept;
  /// The GPU waits for the answer to the last post, then copies pieces from pinned memory to its
  /// own.
  void wait(const Pieces& pieces) const noexcept;

  // The CPU's side: one thread at a time, except for abort() and status().

  /// Polls until the next post has arrived: what it copied can be read. False when something has
  /// gone wrong, on either side; the GPU then waits for nothing any more.
  bool wait_posted() noexcept;
  /// Answers the post that wait_posted() saw: what the GPU's wait copies has been written, by this
  /// thread or by threads that it has waited for. Who wrote past the caches fenced that himself.
  void answer() noexcept;
  /// No more answers: the GPU falls through. From any thread.
  void abort() noexcept { give_up(HandshakeStatus::aborted); }
  /// Of both sides. The last wait of a launch can time out after its answer was given: to be asked
  /// once more when the queue has been waited for.
  HandshakeStatus status() const noexcept;
  /// Waits for the queue and begins anew. Throws environment error when the queue has failed.
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
