// The scheduler's thread: admits requests, runs slices and decode steps, and delivers their
// results.
#include "engine/run/scheduler.hpp"

#include <pthread.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/hw/thread_stack.hpp"
#include "ops/linear/linear.hpp"

namespace ktx::engine {

using Clock = Request::Clock;

namespace {

// Whether the request has tokens to sample.
bool generates(const Request& request) noexcept {
  return request.sampler != nullptr && request.max_new_tokens != 0;
}

// Debuggers and sanitizers run kernels one at a time, so no kernel may wait for the CPU.
bool meets_by_host() {
  const char* value = std::getenv("KTX_HANDSHAKE");
  return value != nullptr && std::string_view(value) == "host";
}

// The request must not be touched after this: its owner continues.
void answer(Request& request, StopReason reason, std::exception_ptr error) {
  request.ended = Clock::now();
  const std::lock_guard lock(request.mutex);
  request.reason = reason;
  request.error = std::move(error);
  request.finished = true;
  request.changed.notify_all();
}

}  // namespace

Scheduler::Scheduler(const placement::Plan& plan, const Programs& programs, KvStore& cache,
                     hw::WorkerPool& pool)
    : plan_(plan),
      programs_(programs),
      cache_(cache),
      pool_(pool),
      slice_workspace_(programs.of(Phase::prefill), plan.machine),
      decode_workspace_(programs.of(Phase::decode), plan.machine),
      decode_threads_(plan.decode_threads > 0 ? plan.decode_threads : pool.threads()) {
  if (programs.devices().has_gpus() && !meets_by_host())
    recording_.emplace(programs.of(Phase::decode), decode_workspace_, cache, pool);
  try {
    thread_ = std::thread([this] {
      hw::call_on_huge_pages([](void* self) { static_cast<Scheduler*>(self)->loop(); }, this);
    });
  } catch (const std::exception& e) {
    throw_environment(std::string("can't start the scheduler's thread: ") + e.what());
  }
  ::pthread_setname_np(thread_.native_handle(), "ktx-scheduler");
}

Scheduler::~Scheduler() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  arrived_.notify_one();
  thread_.join();
  try {  // an abandoned slice may still use the workspaces
    programs_.devices().synchronize();
  } catch (const Error&) {  // there is nobody left to tell
  }
}

// Waiting for a request or call on the scheduler's thread, which also runs on_rows, would deadlock.
void Scheduler::check_caller() const {
  if (std::this_thread::get_id() == thread_.get_id())
    throw_input("on_rows can't wait for its own engine, on whose thread it is called");
}

void Scheduler::submit(Request& request) {
  check_caller();
  const std::lock_guard lock(mutex_);
  arrivals_.push_back(&request);
  ++counts_.requests;
  arrived_.notify_one();
}

void Scheduler::call(const std::function<void(const Resources&)>& f) {
  check_caller();
  std::packaged_task<void(const Resources&)> call(f);
  auto done = call.get_future();
  {
    const std::lock_guard lock(mutex_);
    calls_.push_back(std::move(call));
    arrived_.notify_one();
  }
  done.get();
}

Scheduler::Counts Scheduler::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void Scheduler::RunningBatch::clear() noexcept {
  step.reset();
  batch.ids.clear();
  batch.sequences.clear();
  batch.logit_rows.clear();
  seats.clear();
  logit_rows.clear();
}

void Scheduler::loop() {
  pool_.pin_caller();
  while (wait_for_work()) {
    if (!slice_.step) make_calls();
    admit();
    drop_cancelled();
    if (!slice_.step) begin_slice();
    run_decode();
    if (slice_.step) run_slice();
  }
}

// False when the scheduler is to end.
bool Scheduler::wait_for_work() {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [this] {
    return stop_ || !calls_.empty() || !arrivals_.empty() || !waiting_.empty() || !seats_.empty();
  });
  waiting_.insert(waiting_.end(), arrivals_.begin(), arrivals_.end());
  arrivals_.clear();
  return !stop_;
}

void Scheduler::make_calls() {
  std::unique_lock lock(mutex_);
  auto calls = std::exchange(calls_, {});
  lock.unlock();
  for (auto& call : calls)
    call({slice_workspace_, decode_workspace_, recording_ ? &*recording_ : nullptr});
}

void Scheduler::admit() {
  while (!waiting_.empty() && static_cast<int>(seats_.size()) < plan_.sessions) {
    if (!take_seat(*waiting_.front())) return;
    waiting_.pop_front();
  }
}

// False when the request has to wait for another one to end.
bool Scheduler::take_seat(Request& request) {
  auto& conversation = *request.conversation;
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  int64_t most = plan_.cache_length;  // tokens that its conversation may come to hold
  if (!generates(request) || request.max_new_tokens > 0)
    most =
        std::min(most, conversation.position() + prompt + std::min(most, request.max_new_tokens));
  request.admitted = request.prefilled = Clock::now();
  if (!conversation.cache.reserve(most)) {
    if (!seats_.empty()) return false;
    answer(
        request, StopReason::cancelled,
        std::make_exception_ptr(Error(
            ErrorCategory::environment,
            "no room in the cache: the request may need " + std::to_string(most) +
                " tokens, in pages of " + std::to_string(graph::page_tokens) + "; of " +
                std::to_string(cache_.pages()) + " pages " + std::to_string(cache_.free_pages()) +
                " are free, the others hold the tokens of other sessions",
            "", {"more sessions in the plan (--sessions) give it more pages"})));
    return true;
  }
  seats_.push_back({.request = &request, .id = next_id_++});
  return true;
}

void Scheduler::drop_cancelled() {
  std::erase_if(waiting_, [](Request* request) {
    if (!request->conversation->cancelled.load(std::memory_order_relaxed)) return false;
    request->admitted = request->prefilled = Clock::now();
    answer(*request, StopReason::cancelled, {});
    return true;
  });
  const auto cancelled = [](const Seat& seat) {
    return seat.request->conversation->cancelled.load(std::memory_order_relaxed);
  };
  if (slice_.step &&
      std::ranges::all_of(slice_.seats, [&](const Seat* seat) { return cancelled(*seat); })) {
    for (Seat* seat : slice_.seats) seat->in_flight = false;
    slice_.clear();
  }
  for (auto seat = seats_.begin(); seat != seats_.end();) {
    Seat& one = *seat++;  // finish() takes it out of the list
    if (!one.in_flight && cancelled(one)) finish(one, StopReason::cancelled);
  }
}

// Whether the rest of the seat's prompt joins the decode step.
bool Scheduler::is_joining(const Seat& seat) const noexcept {
  if (seat.decodes()) return false;
  return seat.request->as_decoded ||
         (!plan_.deterministic && seat.prompt_left() <= ops::decode_tokens);
}

// Starts a slice of the waiting prompts, if there are any.
void Scheduler::begin_slice() {
  int64_t room = plan_.prefill_chunk;
  for (Seat& seat : seats_) {
    if (seat.decodes() || is_joining(seat)) continue;
    const int64_t rows = std::min(room, seat.prompt_left());
    add_prompt(slice_, seat, rows);
    room -= rows;
    if (room == 0 || plan_.deterministic) break;
  }
  if (slice_.seats.empty()) return;
  start(slice_, Phase::prefill);
  const std::lock_guard lock(mutex_);
  ++counts_.slices;
}

// Runs one layer of the slice.
void Scheduler::run_slice() {
  slice_.step->advance();
  {
    const std::lock_guard lock(mutex_);
    ++counts_.slice_layers;
  }
  if (slice_.step->finished()) finish_step(slice_);
}

// GPU kernels split their sums by the number of rows in a step. If numbers must not depend on other
// sequences, each sequence gets a step of its own.
void Scheduler::run_decode() {
  const bool alone = plan_.deterministic && programs_.devices().has_gpus();
  int64_t last = -1;  // id of the last seat that had its step; ids ascend
  while (run_decode_step(alone, last) && alone) {
  }
}

// Runs the next token of every decoding sequence together with short prompts; or, if alone, of the
// first sequence after seat `last`. False when there is none.
bool Scheduler::run_decode_step(bool alone, int64_t& last) {
  RunningBatch running;
  int64_t decoding = 0;
  for (Seat& seat : seats_) {
    if (seat.in_flight || (alone && seat.id <= last)) continue;
    if (seat.decodes()) {
      add_rows(running, seat, {&seat.next, 1}, Phase::decode);
      running.batch.logit_rows.push_back(static_cast<int32_t>(running.batch.rows() - 1));
      running.logit_rows.push_back({&seat, 0});
      ++decoding;
    } else if (is_joining(seat)) {
      add_prompt(running, seat, seat.request->as_decoded ? 1 : seat.prompt_left());
    }
    if (alone && !running.seats.empty()) {
      last = seat.id;
      break;
    }
  }
  if (running.seats.empty()) return false;
  running.batch.decode_kernels = plan_.deterministic;
  // With more rows arithmetic dominates, and all threads are worth using.
  if (running.batch.rows() <= ops::decode_tokens) running.batch.workers = decode_threads_;
  start(running, Phase::decode, recording_ ? &*recording_ : nullptr);
  while (!running.step->finished()) running.step->advance();
  if (running.step->failed() && !programs_.devices().failed()) repeat(running);
  {  // before any request is answered
    const std::lock_guard lock(mutex_);
    ++counts_.decode_steps;
    counts_.decode_rows += decoding;
    counts_.decode_steps_within_slices += slice_.step ? 1 : 0;
  }
  finish_step(running);
  return true;
}

void Scheduler::add_rows(RunningBatch& running, Seat& seat, std::span<const int32_t> ids,
                         Phase phase) {
  const auto& conversation = *seat.request->conversation;
  running.batch.sequences.push_back({.id = seat.id,
                                     .phase = phase,
                                     .first_row = running.batch.rows(),
                                     .rows = static_cast<int64_t>(ids.size()),
                                     .past = conversation.position(),
                                     .pages = conversation.cache.pages(),
                                     .experts_per_token = seat.request->experts_per_token});
  running.batch.ids.insert(running.batch.ids.end(), ids.begin(), ids.end());
  running.seats.push_back(&seat);
  seat.in_flight = true;
}

void Scheduler::add_prompt(RunningBatch& running, Seat& seat, int64_t rows) {
  const auto& request = *seat.request;
  const int64_t first = running.batch.rows();
  add_rows(running, seat,
           request.prompt.subspan(static_cast<size_t>(seat.prompt_rows), static_cast<size_t>(rows)),
           request.as_decoded ? Phase::decode : Phase::prefill);
  int64_t wanted = rows;  // the first row whose logits are wanted
  if (request.on_rows != nullptr)
    wanted = 0;
  else if (rows == seat.prompt_left() && generates(request))
    wanted = rows - 1;
  for (int64_t row = wanted; row < rows; ++row) {
    running.batch.logit_rows.push_back(static_cast<int32_t>(first + row));
    running.logit_rows.push_back({&seat, seat.prompt_rows + row});
  }
}

void Scheduler::start(RunningBatch& running, Phase phase, const Recording* recording) {
  auto& workspace = phase == Phase::prefill ? slice_workspace_ : decode_workspace_;
  running.step.emplace(programs_.of(phase), running.batch, workspace, cache_, pool_, recording);
}

// Repeats a step in which CPU and GPU lost synchronization. It writes the same rows of the KV cache
// again. False when a GPU has failed.
bool Scheduler::repeat(RunningBatch& running) {
  base::log(LogLevel::warning,
            "a GPU and the CPU waited too long for each other: the step is repeated");
  try {
    programs_.devices().recover();
  } catch (const Error&) {
    return false;  // fail() reports the reason
  }
  {
    const std::lock_guard lock(mutex_);
    ++counts_.repeated_steps;
  }
  start(running, Phase::decode);
  while (!running.step->finished()) running.step->advance();
  return !running.step->failed();
}

// Whether a GPU stopped waiting for the CPU's last answer. Slices don't use the handshake.
bool Scheduler::is_lost(const RunningBatch& running) const noexcept {
  return &running != &slice_ && programs_.devices().lost();
}

// Requests that want no logits are done when the GPUs are. False when a GPU has failed.
bool Scheduler::wait_for_ends(const RunningBatch& running) const {
  const bool ends = std::ranges::any_of(running.seats, [](const Seat* seat) {
    return seat->decodes() && !generates(*seat->request);
  });
  try {
    if (ends) programs_.devices().synchronize();
  } catch (const Error&) {
    return false;
  }
  return true;
}

// A GPU has failed: all requests in the step end with the reason.
void Scheduler::fail(RunningBatch& running) {
  std::exception_ptr reason;
  try {
    programs_.devices().recover();
    throw_environment("a GPU and the CPU waited too long for each other");
  } catch (...) {
    reason = std::current_exception();
  }
  // Some of these may have finished with earlier logits.
  const auto part = std::exchange(running.seats, {});
  running.clear();
  for (auto seat = seats_.begin(); seat != seats_.end();) {
    Seat& one = *seat++;  // finish() takes it out of the list
    if (std::ranges::find(part, &one) == part.end()) continue;
    one.in_flight = false;
    one.error = reason;
    finish(one, StopReason::cancelled);
  }
}

void Scheduler::finish_step(RunningBatch& running) {
  if (running.step->failed() || programs_.devices().failed()) return fail(running);
  commit(running);
  if (!wait_for_ends(running) || (is_lost(running) && !repeat(running))) return fail(running);
  const auto rows = static_cast<int64_t>(running.logit_rows.size());
  for (int64_t row = 0; row < rows; row += graph::max_logit_rows) {
    const int64_t count = std::min(graph::max_logit_rows, rows - row);
    const float* logits = running.step->logits(row, count);
    if (!running.step->failed() && is_lost(running) && repeat(running))
      logits = running.step->logits(row, count);
    if (running.step->failed() || is_lost(running)) return fail(running);
    deliver(
        std::span(running.logit_rows).subspan(static_cast<size_t>(row), static_cast<size_t>(count)),
        logits);
  }
  running.clear();
  for (auto seat = seats_.begin(); seat != seats_.end();) {
    Seat& one = *seat++;
    const bool done = one.decodes() && !generates(*one.request);
    if (!one.in_flight && (done || one.error)) finish(one, StopReason::max_new_tokens);
  }
}

// Adds the rows of a finished step to their conversations.
void Scheduler::commit(const RunningBatch& running) {
  const auto& batch = running.batch;
  for (size_t i = 0; i < running.seats.size(); ++i) {
    const Sequence& sequence = batch.sequences[i];
    Seat& seat = *running.seats[i];
    auto& conversation = *seat.request->conversation;
    const auto ids = batch.ids.begin() + sequence.first_row;
    conversation.tokens.insert(conversation.tokens.end(), ids, ids + sequence.rows);
    conversation.cache.append(sequence.rows);
    if (!seat.decodes()) {
      seat.prompt_rows += sequence.rows;
      seat.request->prefill_tokens += sequence.rows;
    } else {
      ++seat.request->decode_tokens;
    }
    seat.in_flight = false;
  }
}

// Samples new tokens, on all workers, and hands logits to the requests that want them. Fewer rows
// than workers are sampled one after the other, each by all workers.
void Scheduler::deliver(std::span<const LogitRow> rows, const float* logits) {
  const auto vocab = static_cast<size_t>(programs_.of(Phase::decode).logits().width);
  std::vector<int32_t> tokens(rows.size());
  const auto count = static_cast<int64_t>(rows.size());
  const auto sample = [&](size_t i, hw::WorkerPool* pool) noexcept {
    Seat& seat = *rows[i].seat;
    if (!generates(*seat.request)) return;
    try {
      tokens[i] = seat.request->sampler->sample({logits + i * vocab, vocab},
                                                seat.request->conversation->tokens, pool);
    } catch (...) {
      seat.error = std::current_exception();
    }
  };
  if (count < pool_.size()) {
    for (size_t i = 0; i < rows.size(); ++i) sample(i, &pool_);
  } else {
    pool_.parallel_for(count, 1, [&](int64_t begin, int64_t end, int) noexcept {
      for (int64_t i = begin; i < end; ++i) sample(static_cast<size_t>(i), nullptr);
    });
  }
  for (size_t i = 0, same = 1; i < rows.size(); i += same, same = 1) {
    Seat& seat = *rows[i].seat;
    if (seat.error) continue;
    if (generates(*seat.request)) {
      accept(seat, tokens[i]);
      continue;
    }
    while (i + same < rows.size() && rows[i + same].seat == &seat) ++same;
    give_rows(rows.subspan(i, same), logits + i * vocab);
  }
}

// Calls on_rows of one seat's request.
void Scheduler::give_rows(std::span<const LogitRow> rows, const float* logits) {
  Seat& seat = *rows.front().seat;
  try {
    (*seat.request->on_rows)(rows.front().prompt_row, static_cast<int64_t>(rows.size()), logits);
  } catch (...) {
    seat.error = std::current_exception();
  }
}

void Scheduler::accept(Seat& seat, int32_t token) {
  auto& request = *seat.request;
  if (request.ids.empty()) request.prefilled = Clock::now();
  if (std::ranges::find(request.stop_ids, token) != request.stop_ids.end())
    return finish(seat, StopReason::stop_id);
  {
    const std::lock_guard lock(request.mutex);
    request.ids.push_back(token);
    if (request.streams) request.changed.notify_all();
  }
  const auto count = static_cast<int64_t>(request.ids.size());
  if (request.max_new_tokens >= 0 && count >= request.max_new_tokens)
    return finish(seat, StopReason::max_new_tokens);
  if (request.conversation->position() >= plan_.cache_length)
    return finish(seat, StopReason::cache_full);
  seat.next = token;
}

void Scheduler::finish(Seat& seat, StopReason reason) {
  Request& request = *seat.request;
  const std::exception_ptr error = seat.error;
  if (request.ids.empty()) request.prefilled = Clock::now();
  request.conversation->cache.trim();
  seats_.remove_if([&seat](const Seat& other) { return &other == &seat; });
  answer(request, reason, error);
}

}  // namespace ktx::engine
