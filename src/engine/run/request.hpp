// A session's request to the scheduler, and its answer.
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

/// What a session keeps between requests: its tokens, and their pages of the KV cache.
struct Conversation {
  explicit Conversation(KvSequence pages) : cache(std::move(pages)) {}

  KvSequence cache;
  std::vector<int32_t> tokens;  // those in the cache
  std::atomic<bool> cancelled{false};

  int64_t position() const noexcept { return static_cast<int64_t>(tokens.size()); }
};

/// A prompt to run, and optionally tokens to generate. The caller owns it and waits until it is
/// finished; until then only the scheduler uses the conversation's cache and appends to its tokens.
struct Request {
  using Clock = std::chrono::steady_clock;

  // The request.
  Conversation* conversation = nullptr;
  std::span<const int32_t> prompt;
  int64_t max_new_tokens = 0;  // negative: no limit
  std::vector<int32_t> stop_ids;
  Sampler* sampler = nullptr;  // null: nothing is generated
  int experts_per_token = 0;   // 0: each layer's default
  const Session::OnRows* on_rows =
      nullptr;              // gets the logits of all rows, on the scheduler's thread
  bool streams = false;     // wake the caller at every token
  bool as_decoded = false;  // see EvaluateOptions

  // The answer, guarded by the mutex until finished.
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
