// Continuous batching: one thread forms batches from the rows of all requests, runs them, samples,
// and delivers tokens.
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

/// Requests are admitted in order of arrival, as soon as one of plan.sessions seats is free and the
/// KV cache has pages for everything the request may need, so that none stops halfway. A request
/// that does not fit although no other is running is refused.
///
/// All decoding sequences share a step. Prompts run in slices of plan.prefill_chunk rows, which may
/// hold several prompts. Between two layers of a slice the decoding sequences run a step of their
/// own, so a long prompt delays their next token by one layer only. A prompt, or the rest of one,
/// of up to decode_tokens rows joins the decode step.
///
/// If the plan is deterministic, a sequence's numbers don't depend on the other sequences: every
/// prompt has slices of its own, and decode steps use decode kernels whatever their number of rows.
class Scheduler {
 public:
  /// The arguments must outlive it. Throws environment error when memory or a thread is missing.
  Scheduler(const placement::Plan& plan, const Programs& programs, KvStore& cache,
            hw::WorkerPool& pool);
  /// No request may be running.
  ~Scheduler();

  /// Hands a request over; its owner waits until it is finished. Throws input error if called on
  /// the scheduler's own thread, which would wait for itself.
  void submit(Request& request);

  /// What steps run with.
  struct Resources {
    Workspace &slice, &decode;
    const Recording* recording;  // of decode steps; null: they synchronize with GPUs by events
  };
  /// Lets the caller run steps of its own: calls f on the scheduler's thread between two steps,
  /// when no slice is running. Returns when f has; throws what f throws, and as submit().
  void call(const std::function<void(const Resources&)>& f);

  /// CPU threads of decode steps with few rows, if the plan does not say. To be set within call(),
  /// or before the first request.
  void set_decode_threads(int threads) noexcept { decode_threads_ = threads; }
  int decode_threads() const noexcept { return decode_threads_; }

  /// Counts of what happened so far, for tests and reports.
  struct Counts {
    int64_t requests = 0;
    int64_t decode_steps = 0, decode_rows = 0;  // rows of decoding sequences in all steps
    int64_t slices = 0, slice_layers = 0;
    int64_t decode_steps_within_slices = 0;
    int64_t repeated_steps = 0;  // decode steps in which CPU and GPU lost synchronization
  };
  Counts counts() const;

 private:
  // An admitted request.
  struct Seat {
    Request* request = nullptr;
    int64_t id = 0;
    int64_t prompt_rows = 0;  // rows of the prompt that are in the KV cache
    int32_t next = 0;         // the token to run once they all are
    bool in_flight = false;
    std::exception_ptr error;  // what the caller's function threw

    int64_t prompt_left() const noexcept {
      return static_cast<int64_t>(request->prompt.size()) - prompt_rows;
    }
    bool decodes() const noexcept { return prompt_left() == 0; }
  };
  // A row whose logits are wanted: its seat, and its row of that seat's prompt.
  struct LogitRow {
    Seat* seat = nullptr;
    int64_t prompt_row = 0;
  };
  // A batch, the step that runs it, and the requests it is made of.
  struct RunningBatch {
    Batch batch;
    std::vector<Seat*> seats;          // one per sequence
    std::vector<LogitRow> logit_rows;  // one per row of batch.logit_rows
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
  void add_rows(RunningBatch& running, Seat& seat, std::span<const int32_t> ids, Phase phase);
  void add_prompt(RunningBatch& running, Seat& seat, int64_t rows);
  void start(RunningBatch& running, Phase phase, const Recording* recording = nullptr);
  void finish_step(RunningBatch& running);
  bool repeat(RunningBatch& running);
  bool is_lost(const RunningBatch& running) const noexcept;
  bool wait_for_ends(const RunningBatch& running) const;
  void fail(RunningBatch& running);
  void commit(const RunningBatch& running);
  void deliver(std::span<const LogitRow> rows, const float* logits);
  void give_rows(std::span<const LogitRow> rows, const float* logits);
  void accept(Seat& seat, int32_t token);
  void finish(Seat& seat, StopReason reason);

  const placement::Plan& plan_;
  const Programs& programs_;
  KvStore& cache_;
  hw::WorkerPool& pool_;
  Workspace slice_workspace_, decode_workspace_;
  std::optional<Recording> recording_;  // of decode steps, if there are GPUs

  mutable std::mutex mutex_;  // guards what follows up to the blank line
  std::condition_variable arrived_;
  std::deque<Request*> arrivals_;
  std::deque<std::packaged_task<void(const Resources&)>> calls_;
  bool stop_ = false;
  Counts counts_;

  // Used by the scheduler's thread only.
  int decode_threads_;
  std::deque<Request*> waiting_;
  std::list<Seat> seats_;  // in the order of admission
  int64_t next_id_ = 0;
  RunningBatch slice_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace ktx::engine
