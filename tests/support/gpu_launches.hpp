// How many kernels a piece of work launches: what tests count instead of timing it.
#pragma once

#include <functional>
#include <vector>

#include "core/device/cuda.hpp"
#include "support/gpu.hpp"

namespace ktx::test {

/// Kernels that submit() launches into the GPU's queue. They are captured and don't run.
inline int launches_of(Gpu& gpu, const std::function<void()>& submit) {
  const cudaStream_t stream = device::stream_of(gpu.queue());
  cudaGraph_t graph = nullptr;
  device::check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing");
  submit();
  device::check(cudaStreamEndCapture(stream, &graph), "capturing");
  size_t count = 0;
  cudaGraphGetNodes(graph, nullptr, &count);
  std::vector<cudaGraphNode_t> nodes(count);
  cudaGraphGetNodes(graph, nodes.data(), &count);
  int kernels = 0;
  for (const cudaGraphNode_t node : nodes) {
    cudaGraphNodeType type{};
    cudaGraphNodeGetType(node, &type);
    kernels += type == cudaGraphNodeTypeKernel ? 1 : 0;
  }
  cudaGraphDestroy(graph);
  return kernels;
}

}  // namespace ktx::test
