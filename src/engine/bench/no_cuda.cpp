// What a build without CUDA has in place of cuda_gpu_speed.cpp: it sees no GPUs.
#ifndef KTX_HAVE_CUDA
#include "engine/bench/gpu_speed.hpp"

namespace ktx::engine {

void measure_gpus(hw::Machine&) {}

}  // namespace ktx::engine
#endif
