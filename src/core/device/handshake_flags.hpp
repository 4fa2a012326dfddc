// The flags of a handshake (handshake.hpp), as both CPU and GPU read them: for host and device.
#pragma once

#include <cstdint>

namespace ktx::device {

enum class HandshakeStatus : uint32_t {
  ok,
  timed_out,  // one side waited for the other until its deadline
  aborted,    // by the CPU
  failed      // the GPU's queue
};

/// A flag is a single word, so that it is never seen half written: an epoch, which counts the posts
/// modulo 2^32, and a status.
constexpr uint64_t make_flag(uint32_t epoch, HandshakeStatus status) noexcept {
  return uint64_t{static_cast<uint32_t>(status)} << 32 | epoch;
}
constexpr uint32_t epoch_of(uint64_t flag) noexcept {
  return static_cast<uint32_t>(flag);
}
constexpr HandshakeStatus status_of(uint64_t flag) noexcept {
  return static_cast<HandshakeStatus>(flag >> 32);
}
/// Whether a flag's epoch is this one or a later one.
constexpr bool has_reached(uint64_t flag, uint32_t epoch) noexcept {
  return static_cast<int32_t>(epoch_of(flag) - epoch) >= 0;
}

/// What the GPU keeps in its own memory between kernels. Because kernels count the epoch, a graph
/// can be launched again unchanged.
struct HandshakeState {
  uint32_t epoch;          // of the last post
  uint32_t arrived;        // blocks of the running post that have copied their share
  HandshakeStatus status;  // unless `ok`, every post and wait returns at once
};

/// Arguments of the kernels.
struct HandshakeFlags {
  uint64_t* posted = nullptr;    // in pinned memory; the GPU writes, the CPU reads
  uint64_t* answered = nullptr;  // in pinned memory; the CPU writes, the GPU reads
  HandshakeState* state = nullptr;
  uint64_t answer_within_ns = 0;
};

}  // namespace ktx::device
