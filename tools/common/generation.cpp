// Generation's options and report.
#include "tools/common/generation.hpp"

#include <atomic>
#include <cstdio>

#include "tools/common/interrupt.hpp"
#include "tools/common/text.hpp"

namespace ktx::tools {

void add_generation_options(CLI::App& app, GenerationOptions& o) {
  const auto not_negative = number_that_is(">= 0", [](double x) { return x >= 0; });
  app.add_option("--max-new-tokens,-n", o.max_new_tokens,
                 "stop after this many tokens; -1: only when the model ends or the cache is full")
      ->type_name("N")
      ->check(whole_number(-1, std::numeric_limits<int64_t>::max()))
      ->capture_default_str();
  app.add_flag("--ignore-eos", o.ignore_eos,
               "go on where the model would end its text: for measurements");
  app.add_option("--temperature", o.sampling.temperature, "0: the most probable token each time")
      ->type_name("T")
      ->check(not_negative)
      ->capture_default_str();
  app.add_option("--top-k", o.sampling.top_k, "sample among the K most probable; 0: all")
      ->type_name("K")
      ->check(whole_number(0))
      ->capture_default_str();
  app.add_option("--top-p", o.sampling.top_p, "sample among the fewest that have probability P")
      ->type_name("P")
      ->check(number_that_is("above 0, at most 1", [](double x) { return x > 0 && x <= 1; }))
      ->capture_default_str();
  app.add_option("--min-p", o.sampling.min_p, "drop what is less probable than P times the best")
      ->type_name("P")
      ->check(number_that_is("from 0 to 1", [](double x) { return x >= 0 && x <= 1; }))
      ->capture_default_str();
  app.add_option("--repetition-penalty", o.sampling.repetition_penalty,
                 "make tokens of the last 64 less probable; 1: off")
      ->type_name("R")
      ->check(number_that_is("above 0", [](double x) { return x > 0; }))
      ->capture_default_str();
  app.add_option("--seed,-s", o.sampling.seed, "the same seed gives the same text")
      ->type_name("S")
      ->check(whole_number(0, std::numeric_limits<uint64_t>::max()))
      ->capture_default_str();
}

void take_defaults(const SamplingDefaults& defaults, const CLI::App& app, Sampling& sampling) {
  std::string taken;
  const auto take = [&](const char* option, const auto& value, auto& to) {
    if (!value || app.count(option) > 0 || to == *value) return;
    to = *value;
    taken += (taken.empty() ? "" : ", ") + std::string(option + 2) + " " +
             short_number(static_cast<double>(to));
  };
  take("--temperature", defaults.temperature, sampling.temperature);
  take("--top-k", defaults.top_k, sampling.top_k);
  take("--top-p", defaults.top_p, sampling.top_p);
  take("--min-p", defaults.min_p, sampling.min_p);
  take("--repetition-penalty", defaults.repetition_penalty, sampling.repetition_penalty);
  if (!taken.empty())
    std::fprintf(stderr, "sampling as the model's files say: %s\n", taken.c_str());
}

void warn_of_unused(const CLI::App& app, const Sampling& sampling) {
  if (sampling.temperature > 0) return;
  std::vector<std::string> unused;
  for (const char* option : {"--top-k", "--top-p", "--min-p", "--seed"})
    if (app.count(option) > 0) unused.emplace_back(option);
  if (!unused.empty()) warn("no effect at temperature 0: " + join(unused));
}

GenerateOptions generate_options(const GenerationOptions& options, const Tokenizer& tokenizer) {
  return {.max_new_tokens = options.max_new_tokens,
          .sampling = options.sampling,
          .stop_ids = options.ignore_eos ? std::vector<int32_t>() : tokenizer.stop_ids(),
          .experts_per_token = options.experts_per_token};
}

namespace {

// The session that Ctrl-C cancels: a signal handler can reach globals only.
std::atomic<Session*> interrupted_session{nullptr};
static_assert(std::atomic<Session*>::is_always_lock_free);
struct sigaction action_before {};

void on_interrupt(int) {
  if (Session* session = interrupted_session.load(); session != nullptr) session->cancel();
  sigaction(SIGINT, &action_before, nullptr);  // for a second Ctrl-C
}

}  // namespace

Generation generate(Session& session, std::span<const int32_t> prompt,
                    const GenerateOptions& options, const std::function<void(int32_t)>& on_token) {
  interrupted_session.store(&session);
  sigaction(SIGINT, nullptr, &action_before);
  // Exactly as long as this run: a Ctrl-C between two runs of a chat belongs to neither.
  const InterruptAction cancels(on_interrupt, SA_RESTART);
  return session.generate(prompt, options, [&on_token](int32_t id) {
    on_token(id);
    return true;
  });
}

std::string stop_name(StopReason reason) {
  switch (reason) {
    case StopReason::max_new_tokens:
      return "max_new_tokens";
    case StopReason::stop_id:
      return "stop";
    case StopReason::cache_full:
      return "cache_full";
    case StopReason::cancelled:
      break;
  }
  return "cancelled";
}

namespace {

// Only what cut the text off: its own end needs no word, and a Ctrl-C is known to who pressed it.
std::string cut_text(StopReason reason, bool in_chat) {
  if (reason == StopReason::max_new_tokens) return "; stopped: --max-new-tokens reached";
  if (reason != StopReason::cache_full) return {};
  return std::string("; stopped: the cache is full") +
         (in_chat ? "; /reset forgets the conversation" : "");
}

}  // namespace

void report(const Generation& r, bool in_chat) {
  const auto rate = [](int64_t tokens, double seconds) {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
  };
  std::fprintf(stderr, "prefill %lld tokens, %s tokens/s; decode %lld tokens, %s tokens/s%s\n",
               static_cast<long long>(r.prefill_tokens),
               short_number(rate(r.prefill_tokens, r.prefill_seconds)).c_str(),
               static_cast<long long>(r.decode_tokens),
               short_number(rate(r.decode_tokens, r.decode_seconds)).c_str(),
               cut_text(r.reason, in_chat).c_str());
}

}  // namespace ktx::tools
