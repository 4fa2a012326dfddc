// The state of an Engine: everything that is loaded once and shared by its sessions.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "core/hw/worker_pool.hpp"
#include "engine/access.hpp"
#include "engine/load/weights.hpp"
#include "engine/run/devices.hpp"
#include "engine/run/kv_store.hpp"
#include "engine/run/programs.hpp"
#include "engine/run/scheduler.hpp"
#include "ktx/engine.hpp"
#include "loader/checkpoint.hpp"
#include "placement/plan.hpp"

namespace ktx::engine {

struct EngineState {
  EngineState(const Plan& p, const LoadOptions& options);

  Plan plan;
  const placement::Plan& details = Access::details(plan);
  std::shared_ptr<const loader::TensorSource> source;
  std::once_flag tokenizer_opened;
  std::optional<Tokenizer> tokenizer;
  LoadReport report;
  hw::WorkerPool pool;
  Devices devices;
  std::unique_ptr<Weights> weights;
  std::unique_ptr<Programs> programs;
  std::unique_ptr<KvStore> cache;
  std::unique_ptr<Scheduler> scheduler;  // last: its thread uses all of the above

 private:
  void choose_decode_threads();
};

}  // namespace ktx::engine
