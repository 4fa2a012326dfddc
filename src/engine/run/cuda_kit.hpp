// What the kernels of one GPU share, for the units that are compiled with CUDA.
#pragma once

#include "core/device/handshake.hpp"
#include "core/device/queue.hpp"
#include "engine/run/devices.hpp"
#include "ops/attention/cuda_heads.hpp"
#include "ops/matmul/cuda/matmul.hpp"

namespace ktx::engine {

struct CudaKit {
  explicit CudaKit(device::Queue& queue)
      : matmul(queue), heads(queue), handshake(queue), posted(queue.make_event()) {}

  ops::cuda::MatmulSpace matmul;
  ops::cuda::HeadProducts heads;
  device::Handshake handshake;
  std::unique_ptr<device::Event>
      posted;  // the last copies to the CPU, where a step submits directly
};

}  // namespace ktx::engine
