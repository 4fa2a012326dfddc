// ktx::Session: prefill in chunks, then one token a step.
#include "ktx/session.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>

#include "core/base/error.hpp"
#include "engine/kv_cache.hpp"
#include "engine/state.hpp"
#include "text/sampler.hpp"

namespace ktx {

using Clock = std::chrono::steady_clock;

struct Session::State {
  explicit State(std::shared_ptr<engine::EngineState> shared)
      : engine(std::move(shared)),
        cache(engine->plan.details().model.info.cache_width, engine->plan.details().cache_length) {}

  std::shared_ptr<engine::EngineState> engine;
  engine::KvCache cache;
  std::vector<int32_t> tokens;  // those in the cache
  std::atomic<bool> cancelled{false};

  int64_t position() const { return static_cast<int64_t>(tokens.size()); }

  void check(std::span<const int32_t> ids) const;
  bool run(std::span<const int32_t> ids, const OnRows& on_rows);
  const float* run_for_logits(std::span<const int32_t> ids);
  engine::Step step(std::span<const int32_t> ids) {
    return {.ids = ids.data(),
            .tokens = static_cast<int64_t>(ids.size()),
            .past = position(),
            .cache = &cache};
  }
};

void Session::State::check(std::span<const int32_t> ids) const {
  const int64_t vocab = engine->executor->vocab();
  if (ids.empty()) throw_input("the prompt is empty: expected at least one token");
  for (const int32_t id : ids)
    if (id < 0 || id >= vocab)
      throw_input("token id " + std::to_string(id) + " is not in the vocabulary: expected 0 to " +
                  std::to_string(vocab - 1));
  const auto count = static_cast<int64_t>(ids.size());
  const int64_t room = cache.capacity() - position();
  if (count <= room) return;
  std::string message = "the prompt has " + std::to_string(count) +
                        " tokens, but the cache holds " + std::to_string(cache.capacity());
  if (position() > 0) message += ", of which " + std::to_string(position()) + " are taken";
  throw_input(std::move(message), {}, {"give a larger cache length, or a shorter prompt"});
}

// Runs all ids in chunks and hands out the logits of every row; false when cancelled.
bool Session::State::run(std::span<const int32_t> ids, const OnRows& on_rows) {
  auto& executor = *engine->executor;
  int64_t first = 0;
  while (!ids.empty()) {
    const auto chunk = ids.first(std::min(ids.size(), static_cast<size_t>(executor.max_tokens())));
    const auto now = step(chunk);
    if (!executor.run(now, cancelled)) return false;
    for (int64_t row = 0; on_rows && row < now.tokens; row += graph::max_logit_rows) {
      const int64_t rows = std::min(graph::max_logit_rows, now.tokens - row);
      on_rows(first + row, rows, executor.logits(now, row, rows));
    }
    tokens.insert(tokens.end(), chunk.begin(), chunk.end());
    first += now.tokens;
    ids = ids.subspan(chunk.size());
  }
  return true;
}

// Runs all ids; the logits after the last, or nullptr when cancelled.
const float* Session::State::run_for_logits(std::span<const int32_t> ids) {
  auto& executor = *engine->executor;
  while (!ids.empty()) {
    const auto chunk = ids.first(std::min(ids.size(), static_cast<size_t>(executor.max_tokens())));
    const auto now = step(chunk);
    if (!executor.run(now, cancelled)) return nullptr;
    tokens.insert(tokens.end(), chunk.begin(), chunk.end());
    ids = ids.subspan(chunk.size());
    if (ids.empty()) return executor.logits(now, now.tokens - 1, 1);
  }
  return nullptr;
}

Session::Session(Engine& engine) : state_(std::make_unique<State>(engine.share_state())) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;

namespace {

// Forgets a cancel that has been obeyed, whichever way the run ends.
struct ClearOnExit {
  std::atomic<bool>& flag;
  ~ClearOnExit() { flag.store(false, std::memory_order_relaxed); }
};

text::SamplerOptions sampler_options(const Sampling& s) {
  return {.temperature = s.temperature,
          .top_k = s.top_k,
          .top_p = s.top_p,
          .min_p = s.min_p,
          .repetition_penalty = s.repetition_penalty,
          .repetition_window = s.repetition_window,
          .seed = s.seed};
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

Generation Session::generate(std::span<const int32_t> prompt, const GenerateOptions& options,
                             const std::function<bool(int32_t)>& on_token) {
  auto& s = *state_;
  s.check(prompt);
  text::Sampler sampler(sampler_options(options.sampling));
  const std::lock_guard lock(s.engine->running);
  const ClearOnExit clear{s.cancelled};

  Generation out;
  auto start = Clock::now();
  const int64_t before = s.position();
  const float* logits = s.run_for_logits(prompt);
  out.prefill_tokens = s.position() - before;
  out.prefill_seconds = seconds_since(start);

  start = Clock::now();
  const auto vocab = static_cast<size_t>(s.engine->executor->vocab());
  const auto& stops = options.stop_ids;
  for (;;) {
    if (logits == nullptr) {
      out.reason = StopReason::cancelled;
      break;
    }
    if (static_cast<int64_t>(out.ids.size()) >= options.max_new_tokens) break;
    const int32_t id = sampler.sample({logits, vocab}, s.tokens);
    if (std::find(stops.begin(), stops.end(), id) != stops.end()) {
      out.reason = StopReason::stop_id;
      break;
    }
    out.ids.push_back(id);
    if ((on_token && !on_token(id)) || s.cancelled.load(std::memory_order_relaxed)) {
      out.reason = StopReason::cancelled;
      break;
    }
    if (static_cast<int64_t>(out.ids.size()) >= options.max_new_tokens) break;
    if (s.position() >= s.cache.capacity()) {
      out.reason = StopReason::cache_full;
      break;
    }
    logits = s.run_for_logits({&id, 1});
    if (logits != nullptr) ++out.decode_tokens;
  }
  out.decode_seconds = seconds_since(start);
  return out;
}

void Session::evaluate(std::span<const int32_t> tokens, const OnRows& on_rows) {
  auto& s = *state_;
  s.check(tokens);
  const std::lock_guard lock(s.engine->running);
  const ClearOnExit clear{s.cancelled};
  s.run(tokens, on_rows);
}

void Session::cancel() noexcept {
  state_->cancelled.store(true, std::memory_order_relaxed);
}

int64_t Session::position() const noexcept {
  return state_->position();
}

std::span<const int32_t> Session::tokens() const noexcept {
  return state_->tokens;
}

void Session::rewind(int64_t position) {
  auto& tokens = state_->tokens;
  if (position < 0 || position > state_->position())
    throw_input("can't rewind to token " + std::to_string(position) + ": the session holds " +
                std::to_string(state_->position()));
  tokens.resize(static_cast<size_t>(position));
}

}  // namespace ktx
