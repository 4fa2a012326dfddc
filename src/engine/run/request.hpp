// What a session asks the scheduler for, and how the answer comes back.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "engine/run/kv_store.hpp"
#include "engine/run/sampler.hpp"
#include "ktx/session.hpp"

namespace ktx::engine {

/// What a session keeps between requests: its tokens, and their pages.
struct Conversation {
  explicit Conversation(KvSequence pages) : cache(std::move(pages)) {}

  KvSequence cache;
  std::vector<int32_t> tokens;  // those in the cache
  std::atomic<bool> cancelled{false};

  int64_t position() const noexcept { return static_cast<int64_t>(tokens.size()); }
};

/// A prompt to run, then perhaps tokens to generate. The caller owns it and waits until it is
/// finished; until then the scheduler alone touches the conversation's cache and adds to its
/// tokens.
struct Request {
  using Clock = std::chrono::steady_clock;

  // Asked for.
  Conversation* conversation = nullptr;
  std::span<const int32_t> prompt;
  int64_t max_new_tokens = 0;  // negative: until something else ends it
  std::vector<int32_t> stop_ids;
  Sampler* sampler = nullptr;  // null: none is generated
  int experts_per_token = 0;   // 0: each layer's own number
  const Session::OnRows* on_rows =
      nullptr;              // wants the logits of all rows; called by the scheduler
  bool streams = false;     // the caller wants to be woken at every token
  bool as_decoded = false;  // of EvaluateOptions

  // Answered. Guarded by the mutex until finished.
  std::mutex mutex;
  std::condition_variable changed;
  bool finished = false;
  std::vector<int32_t> ids;  // generated
  StopReason reason = StopReason::max_new_tokens;
  std::exception_ptr error;
  int64_t prefill_tokens = 0, decode_tokens = 0;
  Clock::time_point admitted, prefilled, ended;
};

}  // namespace ktx::engine
