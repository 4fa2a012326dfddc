// ktx::Session: a handle on a conversation; its requests go to the scheduler.
#include "ktx/session.hpp"

#include <algorithm>
#include <atomic>
#include <limits>
#include <set>
#include <string>
#include <utility>

#include "core/base/error.hpp"
#include "engine/run/request.hpp"
#include "engine/run/sampler.hpp"
#include "engine/run/scheduler.hpp"
#include "engine/state.hpp"

namespace ktx {

struct Session::State {
  explicit State(std::shared_ptr<engine::EngineState> shared)
      : engine(std::move(shared)), conversation(engine::KvSequence(*engine->cache)) {}
  State(std::shared_ptr<engine::EngineState> shared, engine::KvSequence cache)
      : engine(std::move(shared)), conversation(std::move(cache)) {}

  std::shared_ptr<engine::EngineState> engine;  // first: it owns the pages
  engine::Conversation conversation;
  // The conversation's tokens as its owner sees them: while a request runs, the scheduler is ahead
  // of what on_token was given.
  std::span<const int32_t> tokens;
  std::atomic_flag in_use = ATOMIC_FLAG_INIT;

  int64_t position() const noexcept { return std::ssize(tokens); }
  int64_t vocab_size() const noexcept;
  void check_token(int32_t id) const;
  void check_biases(const std::vector<LogitBias>& biases) const;
  void check(std::span<const int32_t> ids) const;
  void check_experts(int experts_per_token) const;
  void check_position(int64_t to, const char* action) const;
  void rewind(int64_t to);
  void run(engine::Request& request, const std::function<bool(int32_t)>& on_token);
};

// One at a time works on a session: the callbacks of what runs, and other threads, are refused.
class Session::Use {
 public:
  Use(State& state, const char* action) : in_use_(state.in_use) {
    if (in_use_.test_and_set())
      throw_input(std::string("can't ") + action + ": the session is running a prompt", {},
                  {"its callbacks may call position(), tokens() and cancel()"});
  }
  ~Use() { in_use_.clear(); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  std::atomic_flag& in_use_;
};

int64_t Session::State::vocab_size() const noexcept {
  return engine->programs->of(engine::Phase::decode).logits().width;
}

void Session::State::check_token(int32_t id) const {
  if (id < 0 || id >= vocab_size())
    throw_input("token id " + std::to_string(id) + " is not in the vocabulary: expected 0 to " +
                std::to_string(vocab_size() - 1));
}

void Session::State::check_biases(const std::vector<LogitBias>& biases) const {
  std::set<int32_t> banned;
  for (const auto& [id, bias] : biases) {
    check_token(id);
    if (bias == -std::numeric_limits<float>::infinity()) banned.insert(id);
  }
  if (std::ssize(banned) == vocab_size())
    throw_input("logit biases ban all tokens: expected at least one that is allowed", "sampling");
}

void Session::State::check(std::span<const int32_t> ids) const {
  if (ids.empty()) throw_input("the prompt is empty: expected at least one token");
  for (const int32_t id : ids) check_token(id);
  const auto count = static_cast<int64_t>(ids.size());
  const int64_t length = engine->details.cache_length, taken = position();
  if (count <= length - taken) return;
  std::string message = "the prompt has " + std::to_string(count) +
                        " tokens, but the cache holds " + std::to_string(length);
  if (taken > 0) message += ", of which " + std::to_string(taken) + " are taken";
  throw_input(std::move(message), {}, {"use a longer context, or a shorter prompt"});
}

void Session::State::check_experts(int experts_per_token) const {
  const int most = engine->details.max_experts_per_token;
  if (experts_per_token == 0 || (experts_per_token > 0 && experts_per_token <= most)) return;
  if (most == 0)
    throw_input("experts per token: expected none, found " + std::to_string(experts_per_token) +
                ": the model has no routed experts");
  throw_input("experts per token: expected 1 to " + std::to_string(most) + ", found " +
                  std::to_string(experts_per_token),
              {}, {"a plan made with --max-experts has room for more"});
}

void Session::State::check_position(int64_t to, const char* action) const {
  if (to < 0 || to > position())
    throw_input(std::string("can't ") + action + " to token " + std::to_string(to) +
                ": the session holds " + std::to_string(position()));
}

void Session::State::rewind(int64_t to) {
  conversation.cache.rewind(to);
  conversation.tokens.resize(static_cast<size_t>(to));
  tokens = conversation.tokens;
}

// Hands the request over and waits for its end; meanwhile on_token, if any, gets the tokens. Those
// that it did not get, because it or cancel() ended the request, are taken out of the answer and of
// the conversation.
void Session::State::run(engine::Request& request, const std::function<bool(int32_t)>& on_token) {
  auto& cancelled = conversation.cancelled;
  request.conversation = &conversation;
  request.streams = static_cast<bool>(on_token);
  // With room for all, tokens stay where they are while the scheduler adds others.
  conversation.tokens.reserve(static_cast<size_t>(engine->details.cache_length));
  const int32_t* const first = conversation.tokens.data();
  const size_t prompt_end = conversation.tokens.size() + request.prompt.size();
  tokens = conversation.tokens;
  engine->scheduler->submit(request);

  std::exception_ptr thrown;
  size_t given = 0;
  bool ended = false;  // by this thread
  std::unique_lock lock(request.mutex);
  for (;;) {
    request.changed.wait(lock, [&] {
      return request.finished || (request.streams && !ended && given < request.ids.size());
    });
    while (on_token && !ended && given < request.ids.size() && !cancelled) {
      const int32_t id = request.ids[given++];
      tokens = {first, prompt_end + given - 1};
      lock.unlock();
      try {
        ended = !on_token(id);
      } catch (...) {
        thrown = std::current_exception();
        ended = true;
      }
      if (ended) cancelled = true;
      lock.lock();
    }
    ended = ended || (on_token && cancelled && given < request.ids.size());
    if (request.finished) break;
  }
  tokens = conversation.tokens;
  if (ended) {
    request.reason = StopReason::cancelled;
    request.ids.resize(given);
    // As if nothing had been computed since: the last token of an answer is not in the cache.
    const auto kept =
        std::min(request.decode_tokens, static_cast<int64_t>(std::max<size_t>(given, 1)) - 1);
    rewind(position() - (request.decode_tokens - kept));
    request.decode_tokens = kept;
  }
  cancelled = false;
  if (thrown) std::rethrow_exception(thrown);
  if (request.error) std::rethrow_exception(request.error);
}

Session::Session(Engine& engine) : state_(std::make_unique<State>(engine::Access::state(engine))) {}
Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;

Generation Session::generate(std::span<const int32_t> prompt, const GenerateOptions& options,
                             const std::function<bool(int32_t)>& on_token) {
  const Use use(*state_, "generate");
  state_->check(prompt);
  state_->check_experts(options.experts_per_token);
  state_->check_biases(options.sampling.logit_bias);
  engine::Sampler sampler(options.sampling);
  engine::Request request;
  request.prompt = prompt;
  request.max_new_tokens = options.max_new_tokens;
  request.stop_ids = options.stop_ids;
  request.sampler = &sampler;
  request.experts_per_token = options.experts_per_token;
  state_->run(request, on_token);
  const auto seconds = [](auto duration) {
    return std::chrono::duration<double>(duration).count();
  };
  return {.ids = std::move(request.ids),
          .reason = request.reason,
          .prefill_tokens = request.prefill_tokens,
          .decode_tokens = request.decode_tokens,
          .prefill_seconds = seconds(request.prefilled - request.admitted),
          .decode_seconds = seconds(request.ended - request.prefilled)};
}

Generation Session::generate(std::span<const int32_t> prompt, const GenerateOptions& options,
                             TextStream& text,
                             const std::function<bool(const std::string&)>& on_text) {
  bool wanted = true;
  const auto give = [&](const std::string& piece) {
    if (wanted && on_text && !piece.empty()) wanted = on_text(piece);
  };
  auto result = generate(prompt, options, [&](int32_t id) {
    give(text.push(id));
    return wanted && !text.stopped();
  });
  if (text.stopped()) result.reason = StopReason::stop_string;
  give(text.finish());
  return result;
}

bool Session::evaluate(std::span<const int32_t> tokens, const OnRows& on_rows,
                       const EvaluateOptions& options) {
  const Use use(*state_, "evaluate");
  state_->check(tokens);
  engine::Request request;
  request.prompt = tokens;
  request.on_rows = &on_rows;
  request.as_decoded = options.as_decoded;
  state_->run(request, {});
  return request.reason != StopReason::cancelled;
}

void Session::cancel() noexcept {
  state_->conversation.cancelled.store(true, std::memory_order_relaxed);
}

int64_t Session::position() const noexcept {
  return state_->position();
}

std::span<const int32_t> Session::tokens() const noexcept {
  return state_->tokens;
}

void Session::rewind(int64_t position) {
  const Use use(*state_, "rewind");
  state_->check_position(position, "rewind");
  state_->rewind(position);
}

Session Session::fork(int64_t position) const {
  const Use use(*state_, "fork");
  state_->check_position(position, "fork");
  auto state = std::make_unique<State>(state_->engine, state_->conversation.cache.fork(position));
  state->conversation.tokens.assign(tokens().begin(), tokens().begin() + position);
  state->tokens = state->conversation.tokens;
  return Session(std::move(state));
}

}  // namespace ktx
