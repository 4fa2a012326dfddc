// Where the time of a step goes: timelines of one decode step and of one slice of a prompt.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ktx/engine.hpp"

namespace ktx {

/// What a lane does in a span. Only compute and copy are work: who waits may well spin or poll, and
/// submit is the CPU's time for giving work to a GPU.
enum class SpanKind : uint8_t { compute, copy, wait, submit };

/// One command of a step on its lane. Spans of a lane may contain others: a wait contains what is
/// done in between.
struct Span {
  std::string name;  // of the op, of linear layers and norms also the module's: "linear q_b_proj"
  int lane = 0;      // index into StepProfile::lanes
  int layer = -1;    // -1: before the first; StepProfile::layers.size(): behind the last
  SpanKind kind = SpanKind::compute;
  double begin = 0, end = 0;  // seconds since the step began
};

struct StepProfile {
  std::string name;  // "decode", "prefill"
  int64_t rows = 0;  // tokens computed
  int64_t past = 0;  // tokens in the cache before
  double seconds = 0;
  double unmarked_seconds = 0;      // of steps whose commands were not timed: the median
  double clock_error = 0;           // by how many seconds times of a GPU may be wrong to the CPU's
  std::vector<std::string> lanes;   // "cpu", "cuda:0", "cuda:0 copies"
  std::vector<std::string> layers;  // what each is: "dense" or "moe"
  std::vector<Span> spans;          // by their begin
};

struct ProfileOptions {
  int64_t prompt = 512;  // tokens, of which the first slice is profiled
  int64_t depth = 0;     // tokens in the cache when the decode step runs
  int repeat = 5;        // steps of each kind; the one of median time is kept
};

struct ProfileReport {
  StepProfile prefill, decode;
};

/// Runs steps of a single sequence while all sessions wait. Throws input error when prompt or depth
/// do not fit the cache, environment error when its pages are taken or a GPU fails.
ProfileReport profile_steps(Engine& engine, const ProfileOptions& options = {});

/// Seconds in which no lane computes or copies.
double idle_seconds(const StepProfile& profile);

/// A Markdown table: microseconds a layer, layers that are alike folded into one column.
std::string profile_table(const StepProfile& profile);

/// For chrome://tracing and ui.perfetto.dev: a JSON array of complete events, a process for each
/// step, a thread for each lane.
std::string chrome_trace(const ProfileReport& report);

}  // namespace ktx
