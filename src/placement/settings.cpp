// Settings: where each value comes from, and its bounds.
#include "placement/settings.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/base/error.hpp"
#include "core/hw/machine.hpp"

namespace ktx::placement {

namespace {

// Far beyond any real use, but small enough that sums of sizes do not overflow.
constexpr int64_t most_threads = 4096, most_sessions = 1024;
constexpr int64_t most_context = 1 << 24;
constexpr int64_t most_prefill_chunk = 65535;  // a GPU's grid has no more blocks in y

// The default, unless user or model ask for less: at this length, the bf16 cache of a 671 B model
// takes 0.3 GiB.
constexpr int64_t default_context = 4096;
constexpr int64_t default_prefill_chunk = 2048;

/// The possible sources of a setting, in order of precedence.
template <class T>
struct Candidates {
  const char* name;  // the keyword
  const char* flag;
  const std::optional<T>& option;
  const Maybe<T>& rule;
  T otherwise;
  const char* from = "default";  // of `otherwise`
};

template <class T>
struct Decided {
  T value;
  std::string where;  // in the rules file, if that decided: for errors
  std::string from;   // for the plan
};

template <class T>
Decided<T> decide(const Candidates<T>& c) {
  if (c.option) return {*c.option, {}, c.flag};
  if (c.rule) return {c.rule->value, c.rule->where, file_and_line(c.rule->where)};
  return {c.otherwise, {}, c.from};
}

int64_t decide_count(Plan& plan, int64_t most, const Candidates<int64_t>& candidates) {
  const auto decided = decide(candidates);
  if (decided.value < 1 || decided.value > most)
    throw_input(std::string(candidates.name) + ": expected 1 to " + std::to_string(most) +
                    ", found " + std::to_string(decided.value),
                decided.where);
  plan.settings.push_back({candidates.name, std::to_string(decided.value), decided.from});
  return decided.value;
}

// A path of the rules file is relative to it; a synthetic model has none.
std::string beside(const std::string& rules_file, const std::string& path) {
  if (path.starts_with("synth:")) return path;
  return (std::filesystem::path(rules_file).parent_path() / path).lexically_normal().string();
}

Maybe<std::string> beside(const std::string& rules_file, const Maybe<std::string>& path) {
  if (!path) return std::nullopt;
  return Given<std::string>{beside(rules_file, path->value), path->where};
}

// Empty: none was given; the plan then prints `none`.
std::string decide_path(Plan& plan, const char* none, const Candidates<std::string>& candidates) {
  auto decided = decide(candidates);
  plan.settings.push_back(
      {candidates.name, decided.value.empty() ? none : decided.value, decided.from});
  return std::move(decided.value);
}

}  // namespace

std::string model_path(const Rules& rules, const PlanOptions& options) {
  if (options.model) return *options.model;
  if (rules.model.path) return beside(rules.file, rules.model.path->value);
  throw_input("no model is given", rules.file,
              {"name it in the rules file, model: {path: model.gguf}, or with --model"});
}

void apply_model_path(const Setup& setup) {
  if (!setup.options.model && !setup.rules.model.path) return;  // it came from elsewhere
  decide_path(setup.plan, "none",
              {.name = "model",
               .flag = "--model",
               .option = setup.options.model,
               .rule = beside(setup.rules.file, setup.rules.model.path),
               .otherwise = {}});
}

void apply_context(const Setup& setup) {
  const int64_t trained = setup.plan.model.info.context;
  const bool shorter = trained > 0 && trained < default_context;
  setup.plan.cache_length = decide_count(setup.plan, most_context,
                                         {.name = "context",
                                          .flag = "--context",
                                          .option = setup.options.cache_length,
                                          .rule = setup.rules.run.context,
                                          .otherwise = shorter ? trained : default_context,
                                          .from = shorter ? "checkpoint" : "default"});
}

void apply_sessions(const Setup& setup) {
  setup.plan.sessions = static_cast<int>(decide_count(setup.plan, most_sessions,
                                                      {.name = "sessions",
                                                       .flag = "--sessions",
                                                       .option = setup.options.sessions,
                                                       .rule = setup.rules.run.sessions,
                                                       .otherwise = 1}));
}

void apply_threads(const Setup& setup) {
  setup.plan.threads =
      static_cast<int>(decide_count(setup.plan, most_threads,
                                    {.name = "threads",
                                     .flag = "--threads",
                                     .option = setup.options.threads,
                                     .rule = setup.rules.run.threads,
                                     .otherwise = setup.plan.machine.core_count()}));
  setup.plan.node_threads = hw::threads_of_nodes(setup.plan.machine, setup.plan.threads);
}

void apply_decode_threads(const Setup& setup) {
  const Candidates<int64_t> candidates{.name = "decode_threads",
                                       .flag = "--decode-threads",
                                       .option = setup.options.decode_threads,
                                       .rule = setup.rules.run.decode_threads,
                                       .otherwise = setup.plan.threads,
                                       .from = "threads"};
  const bool asked = setup.options.threads || setup.rules.run.threads;
  if (asked || candidates.option || candidates.rule) {
    setup.plan.decode_threads =
        static_cast<int>(decide_count(setup.plan, setup.plan.threads, candidates));
    return;
  }
  setup.plan.decode_threads = 0;
  setup.plan.settings.push_back({candidates.name, "measured while loading", "default"});
}

void apply_prefill_chunk(const Setup& setup) {
  const int64_t given = decide_count(setup.plan, most_prefill_chunk,
                                     {.name = "prefill_chunk",
                                      .flag = "--prefill-chunk",
                                      .option = setup.options.prefill_chunk,
                                      .rule = setup.rules.run.prefill_chunk,
                                      .otherwise = default_prefill_chunk});
  // No slice has more tokens than all sessions can hold.
  setup.plan.prefill_chunk = std::min(given, setup.plan.cache_length * setup.plan.sessions);
}

void apply_cache_format(const Setup& setup) {
  const auto decided = decide<graph::KvFormat>({.name = "cache.format",
                                                .flag = "--cache-format",
                                                .option = setup.options.cache_format,
                                                .rule = setup.rules.cache.format,
                                                .otherwise = graph::KvFormat::bf16});
  setup.plan.cache_format = decided.value;
  setup.plan.settings.push_back(
      {"cache.format", std::string(graph::info(decided.value).name), decided.from});
}

void apply_tokenizer(const Setup& setup) {
  setup.plan.tokenizer = decide_path(setup.plan, "the model's",
                                     {.name = "tokenizer",
                                      .flag = "--tokenizer",
                                      .option = setup.options.tokenizer,
                                      .rule = beside(setup.rules.file, setup.rules.run.tokenizer),
                                      .otherwise = {}});
}

void apply_weights_cache(const Setup& setup) {
  setup.plan.weights_cache =
      decide_path(setup.plan, "none",
                  {.name = "weights_cache",
                   .flag = "--cache",
                   .option = setup.options.weights_cache,
                   .rule = beside(setup.rules.file, setup.rules.run.weights_cache),
                   .otherwise = {}});
}

void apply_deterministic(const Setup& setup) {
  const auto decided = decide<bool>({.name = "deterministic",
                                     .flag = "--deterministic",
                                     .option = setup.options.deterministic,
                                     .rule = setup.rules.run.deterministic,
                                     .otherwise = false});
  setup.plan.deterministic = decided.value;
  setup.plan.settings.push_back({"deterministic", decided.value ? "true" : "false", decided.from});
}

}  // namespace ktx::placement
