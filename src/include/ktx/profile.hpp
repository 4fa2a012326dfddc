// Profiles: timelines of one decode step and of one slice of a prompt.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ktx/engine.hpp"

namespace ktx {

/// What a lane does during a span. Only compute and copy count as work. A waiting lane may spin or
/// poll; submit is CPU time spent on launching GPU work.
enum class SpanKind : uint8_t { compute, copy, wait, submit };

/// One command of a step. Spans of a lane may nest: a wait contains what is done during it.
struct Span {
  std::string name;  // the op; for linear layers and norms also the module: "linear q_b_proj"
  int lane = 0;      // index into StepProfile::lanes
  int layer = -1;    // -1: before the first; StepProfile::layers.size(): after the last
  SpanKind kind = SpanKind::compute;
  double begin = 0, end = 0;  // seconds since the step began
};

struct StepProfile {
  std::string name;  // "decode", "prefill"
  int64_t rows = 0;  // tokens computed
  int64_t past = 0;  // tokens in the KV cache before
  double seconds = 0;
  double unmarked_seconds = 0;      // median of steps without timestamps, which cost time
  double clock_error = 0;           // seconds that GPU times may be off from CPU times
  std::vector<std::string> lanes;   // "cpu", "cuda:0", "cuda:0 copies"
  std::vector<std::string> layers;  // one per layer: "dense" or "moe"
  std::vector<Span> spans;          // in order of their begin
};

struct ProfileOptions {
  int64_t prompt = 512;  // tokens; its first slice is profiled
  int64_t depth = 0;     // tokens in the KV cache when the decode step runs
  int repeat = 5;        // steps of each kind; the one with the median time is kept
};

struct ProfileReport {
  StepProfile prefill, decode;
};

/// Runs steps of a single sequence while all sessions wait. Throws ktx::Error: input when prompt or
/// depth do not fit in the KV cache, environment when its pages are in use or a GPU fails.
ProfileReport profile_steps(Engine& engine, const ProfileOptions& options = {});

/// Seconds in which no lane computes or copies.
double idle_seconds(const StepProfile& profile);

/// A Markdown table: microseconds per layer, with identical layers folded into one column.
std::string profile_table(const StepProfile& profile);

/// A trace for chrome://tracing and ui.perfetto.dev: a JSON array of complete events, with a
/// process for each step and a thread for each lane.
std::string chrome_trace(const ProfileReport& report);

}  // namespace ktx
