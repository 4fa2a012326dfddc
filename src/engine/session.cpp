// ktx::Session: prefill in chunks, then one token a step.
#include "ktx/session.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>

#include "core/base/error.hpp"
#include "engine/run/kv_cache.hpp"
#include "engine/run/sampler.hpp"
#include "engine/state.hpp"

namespace ktx {

using Clock = std::chrono::steady_clock;

struct Session::State {
  explicit State(std::shared_ptr<engine::EngineState> shared)
      : engine(std::move(shared)),
        cache(engine->plan.details().model.info.caches, engine->plan.details().cache_length,
              engine->plan.details().machine) {}

  std::shared_ptr<engine::EngineState> engine;
  engine::KvCache cache;
  std::vector<int32_t> tokens;  // those in the cache
  std::atomic<bool> cancelled{false};

  int64_t position() const { return static_cast<int64_t>(tokens.size()); }

  void check(std::span<const int32_t> ids) const;
  bool run(std::span<const int32_t> ids, int64_t first_wanted, const OnRows& on_rows);
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

// Runs ids in chunks, each under the engine's lock, and hands out the logits of all rows from
// first_wanted on while it holds the lock; false when cancelled.
bool Session::State::run(std::span<const int32_t> ids, int64_t first_wanted,
                         const OnRows& on_rows) {
  auto& executor = *engine->executor;
  int64_t first = 0;  // of the chunk, in ids
  while (!ids.empty()) {
    const auto chunk = ids.first(std::min(ids.size(), static_cast<size_t>(executor.max_tokens())));
    const std::lock_guard lock(engine->running);
    const engine::Step step{.ids = chunk.data(),
                            .tokens = static_cast<int64_t>(chunk.size()),
                            .past = position(),
                            .cache = &cache};
    if (!executor.run(step, cancelled)) return false;
    tokens.insert(tokens.end(), chunk.begin(), chunk.end());
    for (int64_t row = std::max<int64_t>(0, first_wanted - first); row < step.tokens;
         row += graph::max_logit_rows) {
      const int64_t rows = std::min(graph::max_logit_rows, step.tokens - row);
      on_rows(first + row, rows, executor.logits(step, row, rows));
    }
    first += step.tokens;
    ids = ids.subspan(chunk.size());
  }
  return true;
}

Session::Session(Engine& engine) : state_(std::make_unique<State>(engine.share_state())) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;

namespace {

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

Generation Session::generate(std::span<const int32_t> prompt, const GenerateOptions& options,
                             const std::function<bool(int32_t)>& on_token) {
  auto& s = *state_;
  s.check(prompt);
  engine::Sampler sampler(options.sampling);
  s.cancelled.store(false, std::memory_order_relaxed);
  const auto vocab = static_cast<size_t>(s.engine->executor->vocab());
  int32_t next = 0;
  const auto run = [&](std::span<const int32_t> ids) {
    return s.run(ids, static_cast<int64_t>(ids.size()) - 1,
                 [&](int64_t, int64_t, const float* logits) {
                   next = sampler.sample({logits, vocab}, s.tokens);
                 });
  };

  Generation out;
  auto start = Clock::now();
  const int64_t before = s.position();
  bool running = run(prompt);
  out.prefill_tokens = s.position() - before;
  out.prefill_seconds = seconds_since(start);

  start = Clock::now();
  const auto full = [&] {  // nothing more is asked for
    return options.max_new_tokens >= 0 &&
           static_cast<int64_t>(out.ids.size()) >= options.max_new_tokens;
  };
  const auto& stops = options.stop_ids;
  out.reason = StopReason::max_new_tokens;
  while (running && !full()) {
    if (std::find(stops.begin(), stops.end(), next) != stops.end()) {
      out.reason = StopReason::stop_id;
      break;
    }
    out.ids.push_back(next);
    if (on_token && !on_token(next)) running = false;
    if (!running || full()) break;
    if (s.position() >= s.cache.capacity()) {
      out.reason = StopReason::cache_full;
      break;
    }
    const int32_t id = next;
    running = run({&id, 1});
    out.decode_tokens += running ? 1 : 0;
  }
  if (!running) out.reason = StopReason::cancelled;
  out.decode_seconds = seconds_since(start);
  return out;
}

bool Session::evaluate(std::span<const int32_t> tokens, const OnRows& on_rows) {
  auto& s = *state_;
  s.check(tokens);
  s.cancelled.store(false, std::memory_order_relaxed);
  return s.run(tokens, 0, on_rows);
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
