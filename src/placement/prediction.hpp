// How long steps of a plan take, by the figures of its machine and what kernels reach of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "placement/plan.hpp"

namespace ktx::placement {

/// Of a layer's experts that may pass through a GPU: fewer are not worth the memory that they take
/// on their way.
constexpr double least_stream = 0.005;

/// A step of one sequence.
struct StepShape {
  int64_t rows = 1;      // tokens computed
  int64_t past = 0;      // tokens in the cache before
  bool prefill = false;  // rows of a prompt: kernels and devices of that phase
};

/// Of a module, in seconds.
struct ModuleTime {
  double cpu = 0, gpu = 0, copied = 0;  // that the CPU, a GPU and copying to it are busy
  double deferred = 0;                  // of the CPU's, beside the modules that follow
  double begin = 0, gpu_begin = 0;      // after the step's; when the GPU turns to it
  double seconds = 0;                   // from its begin to its end
};

struct StepTime {
  std::vector<ModuleTime> modules;  // as Plan::modules
  double seconds = 0;               // 0: a figure that is needed is not known
};

/// Modules run one after the other, but shared experts beside routed ones where these are on
/// another device. A module takes what ops::Efficiency says of its kernel, on the bytes it reads
/// and the operations it does; experts that several devices share, the time of the slowest. The
/// hidden state takes its time from one GPU to the next. GPUs whose bandwidth is not known take no
/// time to read.
StepTime step_time(const Plan& plan, const StepShape& shape);

/// The steps that printouts show: a token decoded behind plan.predicted_depth others, and the first
/// slice of a prompt, of plan.prefill_chunk tokens.
StepTime decode_step(const Plan& plan);
StepTime prefill_step(const Plan& plan);

/// The GPU that works on a module in a step of that phase; empty: none.
std::string gpu_of(const PlannedModule& planned, bool prefill);

/// Tokens/s of decoding behind `past` tokens; 0: not known.
double decode_rate(const Plan& plan, int64_t past);
/// Tokens/s of reading a prompt, in slices of plan.prefill_chunk; 0: not known.
double prefill_rate(const Plan& plan, int64_t tokens);

/// Fills in what each module reads to decode a token, what part of its experts is to pass through
/// a GPU, and what the plan predicts.
void predict(Plan& plan);

}  // namespace ktx::placement
