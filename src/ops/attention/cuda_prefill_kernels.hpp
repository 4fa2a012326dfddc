// The rows of the table of cuda_prefill.hpp.
#pragma once

#include "ops/attention/cuda_prefill.hpp"

namespace ktx::ops::cuda {

extern const PrefillKernel prefill_wgmma, prefill_mma;

}  // namespace ktx::ops::cuda
