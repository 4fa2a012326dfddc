// Options of generation, Ctrl-C, and the closing report: shared by one-shot runs and chats.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ktx/session.hpp"
#include "tools/common/cli.hpp"

namespace ktx::tools {

struct GenerationOptions {
  int64_t max_new_tokens = 256;  // -1: no limit
  Sampling sampling;
  int experts_per_token = 0;  // 0: as the plan says
  bool ignore_eos = false;
  std::vector<std::string> stop;  // strings that end the text
};

void add_generation_options(CLI::App& app, GenerationOptions& options);

/// What the checkpoint says of sampling, where no option of `app` does.
void take_defaults(const SamplingDefaults& defaults, const CLI::App& app, Sampling& sampling);

/// What would be refused only after the model has been loaded. Throws input error for stop strings
/// that are none, and for a biased id without a token.
void check(const GenerationOptions& options, const Tokenizer& tokenizer);

/// Warns of options of `app` that do nothing at temperature 0.
void warn_of_unused(const CLI::App& app, const Sampling& sampling);

GenerateOptions generate_options(const GenerationOptions& options, const Tokenizer& tokenizer);

/// Session::generate, which the first Ctrl-C cancels; a second one does what it did before, and so
/// does one afterwards. One at a time.
Generation generate(Session& session, std::span<const int32_t> prompt,
                    const GenerateOptions& options, TextStream& text,
                    const std::function<void(const std::string&)>& on_text);

/// "max_new_tokens", "stop", "stop_string", "cache_full", "cancelled"
std::string stop_name(StopReason reason);

/// Tokens and speed of both phases, and why generation was cut off, to stderr. In a chat it says
/// how to make room in a full cache.
void report(const Generation& result, bool in_chat = false);

}  // namespace ktx::tools
