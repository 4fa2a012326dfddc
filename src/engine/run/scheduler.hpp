// Continuous batching: one thread that forms batches of all requests' rows, runs them, samples, and
// delivers.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "core/hw/worker_pool.hpp"
#include "engine/run/executor.hpp"
#include "engine/run/kv_store.hpp"
#include "engine/run/programs.hpp"
#include "engine/run/recording.hpp"
#include "engine/run/request.hpp"
#include "engine/run/workspace.hpp"
#include "placement/plan.hpp"

namespace ktx::engine {

/// Requests are admitted in the order in which they come, as soon as one of plan.sessions seats is
/// free and the cache has pages for all that the request may need: none is left half run. One that
/// has to wait for nobody and still does not fit is refused.
///
/// All decoding sequences share a step. Prompts run in slices of plan.prefill_chunk rows, several
/// prompts in one slice; between two layers of a slice the decoding sequences make a step of their
/// own, so that a long prompt delays their next token by a layer. A prompt, or the rest of one, of
/// up to decode_tokens rows joins the decode step.
///
/// When the plan is deterministic no number of a sequence depends on the others: every prompt has
/// slices of its own, and decode steps use decode kernels, however many rows they have.
class Scheduler {
 public:
  /// All must outlive it. Throws environment error when memory or a thread is missing.
  Scheduler(const placement::Plan& plan, const Programs& programs, KvStore& cache,
            hw::WorkerPool& pool);
  /// No request may be under way.
  ~Scheduler();

  /// Hands a request over; its owner waits until it is finished. Throws input error on the thread
  /// of all steps, which would wait for itself.
  void submit(Request& request);

  /// What steps run with.
  struct Means {
    Workspace &slice, &decode;
    const Recording* recording;  // of decode steps; null where they meet GPUs by events
  };
  /// Runs steps of the caller's own: f is called on the thread of all steps, between two of them
  /// and when no slice is under way. Returns when f has; throws what f throws, and as submit().
  void call(const std::function<void(const Means&)>& f);

  /// The CPU workers of decode steps of few rows, where the plan does not say. Set by f of call(),
  /// or before the first request.
  void set_decode_threads(int threads) noexcept { decode_threads_ = threads; }
  int decode_threads() const noexcept { return decode_threads_; }

  /// What happened so far, for tests and reports.
  struct Counts {
    int64_t requests = 0;
    int64_t decode_steps = 0, decode_rows = 0;  // rows of decoding sequences in all steps
    int64_t slices = 0, slice_layers = 0;
    int64_t decode_steps_within_slices = 0;
    int64_t repeated_steps = 0;  // decode steps in which the CPU and a GPU lost each other
  };
  Counts counts() const;

 private:
  // A request that was admitted.
  struct Seat {
    Request* request = nullptr;
    int64_t id = 0;
    int64_t prompt_rows = 0;  // of the prompt that are in the cache
    int32_t next = 0;         // the token to run once they all are
    bool in_flight = false;
    std::exception_ptr error;  // what the caller's function threw

    int64_t prompt_left() const noexcept {
      return static_cast<int64_t>(request->prompt.size()) - prompt_rows;
    }
    bool decodes() const noexcept { return prompt_left() == 0; }
  };
  // A row whose logits are asked for: of which seat, and of its prompt which row.
  struct LogitRow {
    Seat* seat = nullptr;
    int64_t prompt_row = 0;
  };
  // A batch on its way.
  struct Flight {
    Batch batch;
    std::vector<Seat*> seats;          // one a sequence
    std::vector<LogitRow> logit_rows;  // one a row of batch.logit_rows
    std::optional<Step> step;

    void clear() noexcept;
  };

  void check_caller() const;
  void loop();
  bool wait_for_work();
  void make_calls();
  void admit();
  bool take_seat(Request& request);
  void drop_cancelled();

  void run_slice();
  void begin_slice();
  void run_decode();
  bool run_decode_step(bool alone, int64_t& last);
  bool is_joining(const Seat& seat) const noexcept;
  void add_rows(Flight& flight, Seat& seat, std::span<const int32_t> ids, Phase phase);
  void add_prompt(Flight& flight, Seat& seat, int64_t rows);
  void depart(Flight& flight, Phase phase, const Recording* recording = nullptr);
  void land(Flight& flight);
  bool repeat(Flight& flight);
  bool is_lost(const Flight& flight) const noexcept;
  bool wait_for_ends(const Flight& flight) const;
  void crash(Flight& flight);
  void commit(const Flight& flight);
  void deliver(std::span<const LogitRow> rows, const float* logits);
  void give_rows(std::span<const LogitRow> rows, const float* logits);
  void accept(Seat& seat, int32_t token);
  void finish(Seat& seat, StopReason reason);

  const placement::Plan& plan_;
  const Programs& programs_;
  KvStore& cache_;
  hw::WorkerPool& pool_;
  Workspace slice_workspace_, decode_workspace_;
  std::optional<Recording> recording_;  // of decode, where there are GPUs

  mutable std::mutex mutex_;  // guards what follows up to the blank line
  std::condition_variable arrived_;
  std::deque<Request*> arrivals_;
  std::deque<std::packaged_task<void(const Means&)>> calls_;
  bool stop_ = false;
  Counts counts_;

  // The thread's own.
  int decode_threads_;
  std::deque<Request*> waiting_;
  std::list<Seat> seats_;  // in the order of admission
  int64_t next_id_ = 0;
  Flight slice_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace ktx::engine
