// The CPU's side of a handshake.
#include "core/device/handshake.hpp"

#include <atomic>

#include "core/device/kinds.hpp"
#include "core/hw/pause.hpp"

namespace ktx::device {

namespace {

using Clock = std::chrono::steady_clock;

// Two cache lines for each flag: CPUs fetch them in pairs.
struct alignas(128) Line {
  uint64_t flag;
};
struct Lines {
  Line posted, answered;
};

constexpr int polls_per_clock_read = 32;
constexpr std::chrono::milliseconds between_queries{1};

std::atomic_ref<uint64_t> atomic(uint64_t* flag) noexcept {
  return std::atomic_ref<uint64_t>(*flag);
}

}  // namespace

Handshake::Handshake(Queue& queue, HandshakeDeadlines deadlines)
    : queue_(queue),
      deadlines_(deadlines),
      lines_(alloc({DeviceKind::cpu}, sizeof(Lines), Pinned::yes)),
      state_(alloc(queue.place(), sizeof(HandshakeState))),
      flags_{.posted = &lines_.as<Lines>()->posted.flag,
             .answered = &lines_.as<Lines>()->answered.flag,
             .state = state_.as<HandshakeState>(),
             .answer_within_ns = static_cast<uint64_t>(deadlines.answer.count())} {
  if (queue.place().kind == DeviceKind::cuda) cuda_load_handshake(queue.place());
  reset();
}

void Handshake::post(const Pieces& pieces) const noexcept {
  cuda_post(pieces, flags_, queue_);
}

void Handshake::wait(const Pieces& pieces) const noexcept {
  cuda_wait(pieces, flags_, queue_);
}

bool Handshake::wait_posted() noexcept {
  const Clock::time_point begin = Clock::now();
  Clock::time_point queried = begin;
  while (status() == HandshakeStatus::ok) {
    for (int i = 0; i < polls_per_clock_read; ++i) {
      const uint64_t posted = atomic(flags_.posted).load(std::memory_order_acquire);
      if (status_of(posted) == HandshakeStatus::ok && has_reached(posted, epoch_ + 1)) {
        ++epoch_;
        return true;
      }
      hw::pause();
    }
    // A GPU that has failed never raises its flag.
    const Clock::time_point now = Clock::now();
    if (now - queried >= between_queries) {
      if (queue_.failed()) give_up(HandshakeStatus::failed);
      queried = now;
    }
    if (now - begin >= deadlines_.post) give_up(HandshakeStatus::timed_out);
  }
  return false;
}

void Handshake::answer() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_sfence();  // stores past the caches are not ordered by a release
#endif
  uint64_t answered = atomic(flags_.answered).load(std::memory_order_relaxed);
  if (status_of(answered) != HandshakeStatus::ok) return;
  // Fails if abort() comes in between, which stays.
  atomic(flags_.answered)
      .compare_exchange_strong(answered, make_flag(epoch_, HandshakeStatus::ok),
                               std::memory_order_release, std::memory_order_relaxed);
}

void Handshake::give_up(HandshakeStatus why) noexcept {
  uint64_t answered = atomic(flags_.answered).load(std::memory_order_relaxed);
  while (status_of(answered) == HandshakeStatus::ok &&
         !atomic(flags_.answered)
              .compare_exchange_weak(answered, make_flag(epoch_of(answered), why),
                                     std::memory_order_release, std::memory_order_relaxed)) {
  }
}

HandshakeStatus Handshake::status() const noexcept {
  const HandshakeStatus here = status_of(atomic(flags_.answered).load(std::memory_order_relaxed));
  if (here != HandshakeStatus::ok) return here;
  return status_of(atomic(flags_.posted).load(std::memory_order_relaxed));
}

void Handshake::reset() {
  queue_.synchronize();
  const HandshakeState anew{};
  queue_.copy(flags_.state, &anew, sizeof anew);
  queue_.synchronize();
  epoch_ = 0;
  atomic(flags_.posted).store(0, std::memory_order_relaxed);
  atomic(flags_.answered).store(0, std::memory_order_release);
}

}  // namespace ktx::device
