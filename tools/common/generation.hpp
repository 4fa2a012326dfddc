// Options of generation, Ctrl-C, and the closing report: shared by one-shot runs and chats.
#pragma once

#include <string>

#include "ktx/session.hpp"
#include "tools/common/cli.hpp"

namespace ktx::tools {

struct GenerationOptions {
  int64_t max_new_tokens = 256;
  Sampling sampling;
};

void add_generation_options(CLI::App& app, GenerationOptions& options);

GenerateOptions generate_options(const GenerationOptions& options, const Tokenizer& tokenizer);

/// While it lives, the first Ctrl-C cancels the session's run, a second one ends the program.
class InterruptGuard {
 public:
  explicit InterruptGuard(Session& session);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

/// "max_new_tokens", "stop", "cache_full", "cancelled"
std::string stop_name(StopReason reason);

/// Tokens and speed of both phases, to stderr.
void report(const Generation& result);

}  // namespace ktx::tools
