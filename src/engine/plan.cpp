// ktx::Plan: header, rules and machine brought together.
#include "ktx/plan.hpp"

#include <mutex>
#include <optional>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/json.hpp"
#include "core/hw/machine.hpp"
#include "engine/build_model.hpp"
#include "engine/generation_defaults.hpp"
#include "engine/plan_inputs.hpp"
#include "engine/source.hpp"
#include "ktx/error.hpp"
#include "ktx/tokenizer.hpp"
#include "placement/explain/diff.hpp"
#include "placement/explain/html.hpp"
#include "placement/explain/json.hpp"
#include "placement/explain/lint.hpp"
#include "placement/explain/text.hpp"
#include "placement/explain/why.hpp"
#include "placement/keywords.hpp"
#include "placement/planner.hpp"
#include "placement/prediction.hpp"
#include "placement/rules.hpp"
#include "placement/schema.hpp"
#include "placement/settings.hpp"
#include "placement/values.hpp"
#include "placement/weights.hpp"

namespace ktx {

namespace {

hw::Machine machine_for(const PlanOptions& options) {
  if (!options.machine.empty()) return engine::described_machine(options.machine);
  auto machine = engine::this_machine();
  if (options.measure) machine.read_bandwidth = hw::measure_read_bandwidth(machine.core_count());
  return machine;
}

// What a run would say only after the weights were copied to the machine: a plan from headers says
// it.
std::vector<std::string> tokenizer_warnings(const Plan& plan) {
  if (!plan.options().header_only) return {};
  try {
    plan.tokenizer();
    return {};
  } catch (const Error& e) {
    return {"NO TOKENIZER that works: " + e.where() + ": " + e.message() +
            "; --tokenizer PATH names another"};
  }
}

}  // namespace

struct Plan::OpenedTokenizer {
  std::once_flag once;
  std::optional<Tokenizer> tokenizer;
};

Plan::Plan(std::shared_ptr<const placement::Plan> plan,
           std::shared_ptr<const placement::Rules> rules,
           std::shared_ptr<const loader::TensorSource> source, PlanOptions options)
    : plan_(std::move(plan)),
      rules_(std::move(rules)),
      source_(std::move(source)),
      options_(std::move(options)),
      tokenizer_(std::make_shared<OpenedTokenizer>()) {}

std::string Plan::text() const {
  return placement::explain(*plan_, tokenizer_warnings(*this));
}

std::string Plan::json() const {
  return base::dump_json(placement::to_json(*plan_, tokenizer_warnings(*this)), 2);
}

std::string Plan::html() const {
  return placement::to_html(*rules_, *plan_, tokenizer_warnings(*this));
}

std::string Plan::why(const std::string& module) const {
  return placement::why(*rules_, *plan_, module);
}

std::vector<std::string> Plan::lint() const {
  std::vector<std::string> lines;
  for (const auto& finding : placement::lint(*rules_, *plan_)) lines.push_back(to_string(finding));
  return lines;
}

std::vector<std::string> Plan::warnings() const {
  return placement::warnings(*plan_);
}

int64_t Plan::cache_length() const noexcept {
  return plan_->cache_length;
}

int Plan::sessions() const noexcept {
  return plan_->sessions;
}

int64_t Plan::prefill_chunk() const noexcept {
  return plan_->prefill_chunk;
}

int Plan::layers() const noexcept {
  return plan_->model.info.layers;
}

Tokenizer Plan::tokenizer() const {
  std::call_once(tokenizer_->once, [this] {
    tokenizer_->tokenizer = plan_->tokenizer.empty() ? engine::tokenizer_of(*source_)
                                                     : Tokenizer::open(plan_->tokenizer);
  });
  return *tokenizer_->tokenizer;
}

SamplingDefaults Plan::sampling_defaults() const {
  return engine::sampling_defaults(*source_);
}
std::filesystem::path Plan::weights_cache() const {
  return plan_->weights_cache;
}

uint64_t Plan::bytes_per_token() const noexcept {
  return plan_->bytes_per_token();
}

double Plan::weights_per_token() const {
  const auto& model = plan_->model;
  const auto share = placement::read_share(*plan_);
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

double Plan::predicted_decode(int64_t past) const {
  return placement::decode_rate(*plan_, past);
}
double Plan::predicted_prefill(int64_t tokens) const {
  return placement::prefill_rate(*plan_, tokens);
}
double Plan::read_bandwidth() const noexcept {
  return plan_->machine.read_bandwidth;
}

namespace {

template <class T>
std::optional<T> given(T value) {
  return value == T{} ? std::nullopt : std::optional<T>(std::move(value));
}

placement::PlanOptions placement_options(const PlanOptions& options) {
  placement::PlanOptions out;
  out.threads = given<int64_t>(options.threads);
  out.decode_threads = given<int64_t>(options.decode_threads);
  out.cache_length = given(options.cache_length);
  out.prefill_chunk = given(options.prefill_chunk);
  out.experts_per_token = options.experts_per_token;
  out.max_experts = options.max_experts;
  out.sessions = given<int64_t>(options.sessions);
  if (!options.cache_format.empty())
    out.cache_format = placement::find_cache_format(options.cache_format, "--cache-format");
  out.deterministic = options.deterministic;
  out.model = given(options.model.string());
  out.tokenizer = given(options.tokenizer.string());
  out.weights_cache = given(options.weights_cache.string());
  return out;
}

placement::Plan place(const placement::Rules& rules, const loader::TensorSource& source,
                      hw::Machine machine, const PlanOptions& options) {
  auto settings = placement_options(options);
  settings.run_memory = engine::RunMemory(source);
  return placement::make_plan(rules, engine::build_model(source, options.ignore_unused),
                              std::move(machine), settings);
}

std::shared_ptr<const loader::TensorSource> open_model(const placement::Rules& rules,
                                                       const PlanOptions& options) {
  return engine::open_source(placement::model_path(rules, placement_options(options)),
                             {.header_only = options.header_only, .overrides = options.overrides});
}

}  // namespace

Plan make_plan(const PlanOptions& options) {
  auto rules = placement::read_rules(options.rules);
  auto source = open_model(rules, options);
  auto plan = place(rules, *source, machine_for(options), options);
  return Plan(std::make_shared<const placement::Plan>(std::move(plan)),
              std::make_shared<const placement::Rules>(std::move(rules)), std::move(source),
              options);
}

std::string Plan::diff(const std::filesystem::path& rules) const {
  const auto others = placement::read_rules(rules);
  // The model that a file names is part of its plan, unless --model stands above both.
  const bool own_model = options_.model.empty() && others.model.path;
  const auto source = own_model ? open_model(others, options_) : source_;
  return placement::diff(*plan_, place(others, *source, plan_->machine, options_));
}

std::string rules_reference() {
  return placement::keyword_reference();
}

std::string rules_schema() {
  return placement::rules_schema();
}

}  // namespace ktx
