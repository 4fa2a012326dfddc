// Options of generation, Ctrl-C, and the closing report: shared by one-shot runs and chats.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "ktx/session.hpp"
#include "tools/common/cli.hpp"

namespace ktx::tools {

struct GenerationOptions {
  int64_t max_new_tokens = 256;  // -1: no limit
  Sampling sampling;
  int experts_per_token = 0;  // 0: as the plan says
  bool ignore_eos = false;
};

void add_generation_options(CLI::App& app, GenerationOptions& options);

/// What the checkpoint says of sampling, where no option of `app` does.
void take_defaults(const SamplingDefaults& defaults, const CLI::App& app, Sampling& sampling);

/// Warns of options of `app` that do nothing at temperature 0.
void warn_of_unused(const CLI::App& app, const Sampling& sampling);

GenerateOptions generate_options(const GenerationOptions& options, const Tokenizer& tokenizer);

/// Session::generate, which the first Ctrl-C cancels; a second one does what it did before, and so
/// does one afterwards. One at a time.
Generation generate(Session& session, std::span<const int32_t> prompt,
                    const GenerateOptions& options, const std::function<void(int32_t)>& on_token);

/// "max_new_tokens", "stop", "cache_full", "cancelled"
std::string stop_name(StopReason reason);

/// Tokens and speed of both phases, and why generation was cut off, to stderr. In a chat it says
/// how to make room in a full cache.
void report(const Generation& result, bool in_chat = false);

}  // namespace ktx::tools
