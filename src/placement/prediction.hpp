// How long steps of a plan take, from the machine's speeds and the efficiencies of kernels.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "placement/plan.hpp"

namespace ktx::placement {

/// The least fraction of a layer's experts worth streaming: fewer do not justify the GPU memory of
/// the buffers.
constexpr double least_stream = 0.005;

/// A step of one sequence.
struct StepShape {
  int64_t rows = 1;      // tokens computed
  int64_t past = 0;      // tokens in the cache before
  bool prefill = false;  // rows of a prompt: kernels and devices of that phase
};

/// Of a module, in seconds.
struct ModuleTime {
  double cpu = 0, gpu = 0, copied = 0;  // busy time of the CPU, of a GPU, and of copies to it
  double deferred = 0;                  // part of the CPU's time, in parallel to later modules
  double begin = 0, gpu_begin = 0;      // since the step began; when the GPU starts on it
  double seconds = 0;                   // from its begin to its end
};

struct StepTime {
  std::vector<ModuleTime> modules;  // as Plan::modules
  double seconds = 0;               // 0: not known, because a speed is missing
};

/// Modules run one after another, except that shared experts run in parallel to routed ones on
/// another device. A module's time follows from the bytes it reads, the operations it does and its
/// kernel's ops::Efficiency; experts on several devices take the time of the slowest. Copies of the
/// hidden state from one GPU to the next take time too. GPUs of unknown bandwidth are assumed to
/// read in no time.
StepTime step_time(const Plan& plan, const StepShape& shape);

/// The steps that printouts show: a token decoded behind plan.predicted_depth others, and the first
/// slice of a prompt, of plan.prefill_chunk tokens.
StepTime decode_step(const Plan& plan);
StepTime prefill_step(const Plan& plan);

/// The GPU that runs a module, or part of it, in a step of that phase; empty: none.
std::string gpu_of(const PlannedModule& planned, bool prefill);

/// Tokens/s of decoding behind `past` tokens; 0: not known.
double decode_rate(const Plan& plan, int64_t past);
/// Tokens/s of reading a prompt, in slices of plan.prefill_chunk; 0: not known.
double prefill_rate(const Plan& plan, int64_t tokens);

/// Fills in the bytes that each module reads to decode a token, the fraction of its experts to
/// stream through a GPU, and the plan's predictions.
void predict(Plan& plan);

}  // namespace ktx::placement
