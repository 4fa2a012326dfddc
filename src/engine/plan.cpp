// ktx::Plan: header, rules and machine brought together.
#include "ktx/plan.hpp"

#include <algorithm>
#include <utility>

#include "core/base/json.hpp"
#include "core/device/gpus.hpp"
#include "core/hw/machine.hpp"
#include "engine/load/weight_loader.hpp"
#include "engine/run/executor.hpp"
#include "engine/source.hpp"
#include "placement/explain.hpp"
#include "placement/keywords.hpp"
#include "placement/planner.hpp"
#include "placement/rules.hpp"
#include "placement/weights.hpp"

namespace ktx {

namespace {

// A session's length where neither user nor model ask for less: at this length the cache of a
// 671 B model takes 0.6 GiB.
constexpr int64_t default_cache_length = 4096;

hw::Machine machine_for(const PlanOptions& options) {
  if (!options.machine.empty()) return hw::read_machine(options.machine);
  auto machine = hw::detect_machine();
  machine.gpus = device::detect_gpus();
  if (options.measure) machine.read_bandwidth = hw::measure_read_bandwidth(machine.core_count());
  return machine;
}

}  // namespace

Plan::Plan(std::shared_ptr<const placement::Plan> plan,
           std::shared_ptr<const loader::TensorSource> source, PlanOptions options)
    : plan_(std::move(plan)), source_(std::move(source)), options_(std::move(options)) {}

std::string Plan::text() const {
  return placement::explain(*plan_);
}

std::string Plan::json() const {
  return base::dump_json(placement::to_json(*plan_), 2);
}

uint64_t Plan::bytes_per_token() const noexcept {
  return plan_->bytes_per_token();
}

double Plan::weights_per_token() const {
  const auto& model = plan_->model;
  const auto share = placement::read_share(model);
  double sum = 0;
  for (const auto& planned : plan_->modules) {
    const auto index = static_cast<size_t>(planned.module);
    const auto& module = model.modules[index];
    const auto& own_class = module.classes.front();
    if (own_class == "embedding" || own_class == "head") continue;
    for (const auto& weight : module.weights)
      sum += share[index] * static_cast<double>(weight.weights());
  }
  return sum;
}

double Plan::read_bandwidth() const noexcept {
  return plan_->machine.read_bandwidth;
}

Plan make_plan(const PlanOptions& options) {
  const auto rules = placement::read_rules(options.rules);
  std::shared_ptr<const loader::TensorSource> source =
      loader::open_checkpoint(options.model, {.header_only = options.header_only});
  auto model = engine::build_model(*source);
  auto machine = machine_for(options);

  placement::PlanOptions settings;
  settings.threads = options.threads > 0 ? options.threads : machine.core_count();
  settings.experts_per_token = options.experts_per_token;
  if (options.prefill_chunk > 0) settings.prefill_chunk = options.prefill_chunk;
  settings.cache_length = options.cache_length;
  if (settings.cache_length == 0)
    settings.cache_length = model.info.context > 0
                                ? std::min(model.info.context, default_cache_length)
                                : default_cache_length;
  settings.run_memory = [&source](const placement::Plan& decided) {
    const auto step = engine::step_memory(decided);
    return placement::RunMemory{
        .scratch = step.scratch,
        .rope_tables = step.rope_tables,
        .loading = engine::loading_bytes(decided.model, *source, decided.threads)};
  };
  auto plan = placement::make_plan(rules, std::move(model), std::move(machine), settings);
  return Plan(std::make_shared<const placement::Plan>(std::move(plan)), std::move(source), options);
}

std::string rules_reference() {
  return placement::keyword_reference();
}

}  // namespace ktx
