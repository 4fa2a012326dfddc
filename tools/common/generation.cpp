// Generation's options and report.
#include "tools/common/generation.hpp"

#include <csignal>
#include <cstdio>

namespace ktx::tools {

void add_generation_options(CLI::App& app, GenerationOptions& o) {
  app.add_option("--max-new-tokens,-n", o.max_new_tokens, "stop after this many tokens")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--temperature", o.sampling.temperature, "0: the most probable token each time")
      ->type_name("T")
      ->capture_default_str();
  app.add_option("--top-k", o.sampling.top_k, "sample among the K most probable; 0: all")
      ->type_name("K")
      ->capture_default_str();
  app.add_option("--top-p", o.sampling.top_p, "sample among the fewest that have probability P")
      ->type_name("P")
      ->capture_default_str();
  app.add_option("--min-p", o.sampling.min_p, "drop what is less probable than P times the best")
      ->type_name("P")
      ->capture_default_str();
  app.add_option("--repetition-penalty", o.sampling.repetition_penalty,
                 "make tokens of the last 64 less probable; 1: off")
      ->type_name("R")
      ->capture_default_str();
  app.add_option("--seed,-s", o.sampling.seed, "the same seed gives the same text")
      ->type_name("S")
      ->capture_default_str();
}

GenerateOptions generate_options(const GenerationOptions& options, const Tokenizer& tokenizer) {
  return {.max_new_tokens = options.max_new_tokens,
          .sampling = options.sampling,
          .stop_ids = tokenizer.stop_ids()};
}

namespace {

// The session that Ctrl-C cancels: a signal handler can reach globals only.
Session* volatile interrupted_session = nullptr;

void on_interrupt(int) {
  if (Session* session = interrupted_session; session != nullptr) session->cancel();
  std::signal(SIGINT, SIG_DFL);
}

}  // namespace

InterruptGuard::InterruptGuard(Session& session) {
  interrupted_session = &session;
  std::signal(SIGINT, on_interrupt);
}

InterruptGuard::~InterruptGuard() {
  std::signal(SIGINT, SIG_DFL);
  interrupted_session = nullptr;
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

void report(const Generation& r) {
  const auto rate = [](int64_t tokens, double seconds) {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
  };
  std::fprintf(stderr, "prefill %lld tokens, %s tokens/s; decode %lld tokens, %s tokens/s%s\n",
               static_cast<long long>(r.prefill_tokens),
               short_number(rate(r.prefill_tokens, r.prefill_seconds)).c_str(),
               static_cast<long long>(r.decode_tokens),
               short_number(rate(r.decode_tokens, r.decode_seconds)).c_str(),
               r.reason == StopReason::cache_full ? "; stopped: the cache is full" : "");
}

}  // namespace ktx::tools
