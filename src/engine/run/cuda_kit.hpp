// What the kernels of one GPU share, for the units that are compiled with CUDA.
#pragma once

#include "core/device/handshake.hpp"
#include "core/device/queue.hpp"
#include "engine/run/cuda_expert_stream.hpp"
#include "engine/run/devices.hpp"
#include "engine/run/expert_split.hpp"
#include "ops/attention/cuda_heads.hpp"
#include "ops/matmul/cuda/matmul.hpp"

namespace ktx::engine {

/// What streams experts to a GPU: all layers share a ring.
struct SharedStream {
  SharedStream(device::Queue& queue, const ExpertStreamShape& shape, const SplitRates& first,
               size_t modules)
      : stream(queue, shape, Timed::yes), rates(first), popular(modules) {}

  ExpertStream stream;
  MeasuredRates rates;
  double copy_bandwidth = 0;                  // bytes/s, measured while loading; 0: not measured
  SplitSeconds predicted, elapsed;            // of the layers since the rates were corrected
  int layers = 0;                             // that these are of
  ExpertStreamTimes times;                    // of the stream, then
  std::vector<std::vector<int32_t>> popular;  // [modules] experts by their tokens in the last step
};

struct CudaKit {
  explicit CudaKit(device::Queue& queue);

  ops::cuda::MatmulSpace matmul;
  ops::cuda::HeadProducts heads;
  device::Handshake handshake;
  device::Block arrived;                 // the router's counter: zero between launches
  std::unique_ptr<SharedStream> stream;  // where experts are streamed
  std::unique_ptr<device::Event>
      posted;  // the last copies to the CPU, where a step submits directly
};

}  // namespace ktx::engine
