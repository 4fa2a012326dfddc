// Generation's options and report.
#include "tools/common/generation.hpp"

#include <atomic>
#include <cctype>
#include <cstdio>
#include <cstdlib>

#include "ktx/error.hpp"
#include "tools/common/interrupt.hpp"
#include "tools/common/text.hpp"

namespace ktx::tools {

namespace {

// ID+BIAS or ID-BIAS, as llama.cpp writes it.
LogitBias bias_of(const std::string& text) {
  const size_t sign = text.find_first_of("+-");
  const auto id = text.substr(0, sign);
  const auto bias = sign == std::string::npos ? std::string() : text.substr(sign + 1);
  const bool banned = sign != std::string::npos && text.substr(sign) == "-inf";
  const bool number = std::isdigit(static_cast<unsigned char>(bias.c_str()[0])) != 0 &&
                      number_that_is("", [](double) { return true; })(bias).empty();
  if (!whole_number(0)(id).empty() || !(banned || number))
    throw CLI::ValidationError("--logit-bias",
                               "expected ID+BIAS, ID-BIAS or ID-inf, found '" + text + "'");
  return {.id = std::stoi(id), .bias = std::strtof(text.c_str() + sign, nullptr)};
}

void add_penalty_options(CLI::App& app, Sampling& sampling) {
  const auto any = number_that_is("", [](double) { return true; });
  app.add_option("--repetition-penalty", sampling.repetition_penalty,
                 "make the last 64 tokens less probable; 1: off")
      ->type_name("R")
      ->check(number_that_is("above 0", [](double x) { return x > 0; }))
      ->capture_default_str();
  app.add_option("--frequency-penalty", sampling.frequency_penalty,
                 "subtract this from a token's logit for each time it was generated")
      ->type_name("F")
      ->check(any)
      ->capture_default_str();
  app.add_option("--presence-penalty", sampling.presence_penalty,
                 "subtract this from the logit of every token generated so far")
      ->type_name("P")
      ->check(any)
      ->capture_default_str();
  app.add_option_function<std::vector<std::string>>(
         "--logit-bias",
         [&sampling](const std::vector<std::string>& all) {
           for (const auto& one : all) sampling.logit_bias.push_back(bias_of(one));
         },
         "add to a token's logit: 15043+1 or 15043-1.5; 15043-inf bans it; may be repeated")
      ->type_name("ID+BIAS")
      ->allow_extra_args(false);
}

}  // namespace

void add_generation_options(CLI::App& app, GenerationOptions& o) {
  const auto not_negative = number_that_is(">= 0", [](double x) { return x >= 0; });
  app.add_option("--max-new-tokens,-n", o.max_new_tokens,
                 "stop after this many tokens; -1: only when the model ends or the cache is full")
      ->type_name("N")
      ->check(whole_number(-1, std::numeric_limits<int64_t>::max()))
      ->capture_default_str();
  app.add_option("--stop", o.stop, "stop before this text, which is not printed; may be repeated")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  app.add_flag("--ignore-eos", o.ignore_eos,
               "continue where the model would end its text; for measurements");
  app.add_option("--temperature", o.sampling.temperature, "0: always take the most probable token")
      ->type_name("T")
      ->check(not_negative)
      ->capture_default_str();
  app.add_option("--top-k", o.sampling.top_k, "sample from the K most probable tokens; 0: from all")
      ->type_name("K")
      ->check(whole_number(0))
      ->capture_default_str();
  app.add_option("--top-p", o.sampling.top_p,
                 "sample from the fewest tokens with probability P together")
      ->type_name("P")
      ->check(number_that_is("above 0, at most 1", [](double x) { return x > 0 && x <= 1; }))
      ->capture_default_str();
  app.add_option("--min-p", o.sampling.min_p, "drop tokens less probable than P times the best")
      ->type_name("P")
      ->check(number_that_is("from 0 to 1", [](double x) { return x >= 0 && x <= 1; }))
      ->capture_default_str();
  add_penalty_options(app, o.sampling);
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
  take("--frequency-penalty", defaults.frequency_penalty, sampling.frequency_penalty);
  take("--presence-penalty", defaults.presence_penalty, sampling.presence_penalty);
  if (!taken.empty())
    std::fprintf(stderr, "sampling defaults from the model's files: %s\n", taken.c_str());
}

void check(const GenerationOptions& options, const Tokenizer& tokenizer) {
  try {
    const TextStream refuses(tokenizer, {.stop = options.stop});
  } catch (const Error& e) {
    throw Error(e.category(), e.message(), "--stop");
  }
  for (const auto& [id, bias] : options.sampling.logit_bias)
    if (id >= tokenizer.vocab_size())
      throw Error(ErrorCategory::input,
                  "expected a token id from 0 to " + std::to_string(tokenizer.vocab_size() - 1) +
                      ", found " + std::to_string(id),
                  "--logit-bias");
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
                    const GenerateOptions& options, TextStream& text,
                    const std::function<void(const std::string&)>& on_text) {
  interrupted_session.store(&session);
  sigaction(SIGINT, nullptr, &action_before);
  // Exactly as long as this run: a Ctrl-C between two runs of a chat belongs to neither.
  const InterruptAction cancels(on_interrupt, SA_RESTART);
  return session.generate(prompt, options, text, [&on_text](const std::string& piece) {
    on_text(piece);
    return true;
  });
}

std::string stop_name(StopReason reason) {
  switch (reason) {
    case StopReason::max_new_tokens:
      return "max_new_tokens";
    case StopReason::stop_id:
      return "stop";
    case StopReason::stop_string:
      return "stop_string";
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
  if (reason == StopReason::stop_string) return "; stopped: found a --stop text";
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
