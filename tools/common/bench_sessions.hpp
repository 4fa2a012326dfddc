// Benchmarks of several concurrent sessions, for ktx-bench.
#pragma once

#include <cstdint>
#include <string>

#include "ktx/bench.hpp"
#include "ktx/engine.hpp"
#include "tools/common/bench_rows.hpp"

namespace ktx::tools {

/// All sessions of the plan decode together, each its own text: tokens/s of all.
struct Together {
  Row row;
  ExpertUse experts;  // of all repetitions
};
Together bench_together(Engine& engine, int64_t tokens, int repeat);
std::string experts_text(const ExpertUse& use, const MachineSpeed& machine);

/// How long a decoding session waits for a token while another one reads a prompt.
struct Gap {
  int64_t prompt = 0;
  double longest = 0;            // seconds between two tokens
  double layer = 0, decode = 0;  // seconds of one layer of a slice, and of a decode step, alone
};
Gap bench_gap(Engine& engine, int64_t prompt);
std::string gap_text(const Gap& gap);

}  // namespace ktx::tools
