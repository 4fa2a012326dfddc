// A captured stream, instantiated.
#include "core/device/cuda.hpp"
#include "core/device/kinds.hpp"

namespace ktx::device {

namespace {

// The recipe that a capture makes; what is launched is instantiated from it.
struct Recipe {
  ~Recipe() {
    if (graph != nullptr) cudaGraphDestroy(graph);
  }
  cudaGraph_t graph = nullptr;
};

class CudaGraph : public Graph {
 public:
  CudaGraph(cudaGraph_t recipe, const Queue& queue)
      : gpu_(queue.place().index), stream_(stream_of(queue)) {
    check(cudaGraphInstantiate(&exec_, recipe, 0), "instantiating a graph");
  }
  ~CudaGraph() override { cudaGraphExecDestroy(exec_); }

  void upload() { check(cudaGraphUpload(exec_, stream_), "uploading a graph"); }
  void launch() noexcept override {
    const CurrentGpu current(gpu_);
    cudaGraphLaunch(exec_, stream_);
  }

 private:
  int gpu_;
  cudaStream_t stream_;
  cudaGraphExec_t exec_ = nullptr;
};

// Capture ends in every case, or the stream would stay unusable.
void record(cudaStream_t stream, const std::function<void()>& submit, Recipe& recipe) {
  // Of this thread only: what other threads do with the GPU meanwhile is their own affair.
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "beginning a capture");
  try {
    submit();
  } catch (...) {
    cudaStreamEndCapture(stream, &recipe.graph);
    cudaGetLastError();
    throw;
  }
  const cudaError_t refused = cudaGetLastError();  // the reason; the end says 'invalidated' only
  const cudaError_t ended = cudaStreamEndCapture(stream, &recipe.graph);
  check(refused != cudaSuccess ? refused : ended, "capturing a graph");
}

}  // namespace

std::unique_ptr<Graph> cuda_capture(Queue& queue, const std::function<void()>& submit) {
  const CurrentGpu current(queue.place().index);
  queue.synchronize();  // an error from before is not the capture's
  Recipe recipe;
  record(stream_of(queue), submit, recipe);
  auto graph = std::make_unique<CudaGraph>(recipe.graph, queue);
  graph->upload();
  queue.synchronize();
  return graph;
}

}  // namespace ktx::device
