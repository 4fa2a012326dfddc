// Products with a matrix of each head: a kernel for few rows, batched cuBLASLt for many.
#include "ops/attention/cuda_heads.hpp"

#include <cublasLt.h>

#include "core/base/error.hpp"
#include "core/device/cuda.hpp"
#include "ops/attention/cuda_heads.cuh"

namespace ktx::ops::cuda {
namespace {

constexpr int warps = 4, few_rows = 8;
constexpr int64_t most_few_rows = 16;  // beyond, cuBLASLt
constexpr size_t workspace_bytes = size_t{32} << 20;

/// More outputs at a time would cost too many registers for the sums of many rows.
template <int lanes, int R>
using Weights = HeadWeights<Bf16Rows, lanes, R == 1 ? 4 : 2, 2>;
template <int lanes, int R>
constexpr int outputs_of_block = Weights<lanes, R>::outputs(32 * warps);

template <int lanes, int R>
__global__ void __launch_bounds__(32 * warps) few_rows_kernel(HeadsArgs args) {
  const int64_t head = blockIdx.y, begin = blockIdx.x * int64_t{outputs_of_block<lanes, R>};
  const int64_t end = begin + outputs_of_block<lanes, R>;
  const auto* weights_of = reinterpret_cast<const std::byte*>(args.weights);
  const HeadPart part{
      .weights = weights_of + head * args.outputs * Bf16Rows::row_bytes(args.inputs),
      .inputs = args.inputs,
      .begin = begin,
      .end = end < args.outputs ? end : args.outputs,
      .x = args.x + head * args.x_head,
      .x_row = args.x_row,
      .rows = args.rows,
      .y = args.y + head * args.y_head,
      .y_row = args.y_row};
  const int thread = static_cast<int>(threadIdx.x);
  Weights<lanes, R> weights;
  weights.load_first(part, thread, 32 * warps);
  multiply_part<R>(part, weights, thread, 32 * warps);
}

template <int lanes, int R>
void enqueue_few(const HeadsArgs& args, cudaStream_t stream) noexcept {
  const dim3 grid(device::blocks_for(args.outputs, outputs_of_block<lanes, R>),
                  static_cast<unsigned>(args.heads));
  few_rows_kernel<lanes, R><<<grid, 32 * warps, 0, stream>>>(args);
}

template <int lanes>
void enqueue_few(const HeadsArgs& args, cudaStream_t stream) noexcept {
  if (args.rows == 1)
    enqueue_few<lanes, 1>(args, stream);
  else
    enqueue_few<lanes, few_rows>(args, stream);
}

void run_few(HeadsArgs args, cudaStream_t stream) noexcept {
  for (int64_t left = args.rows; left > 0; left -= few_rows) {
    args.rows = left < few_rows ? left : few_rows;
    if (args.inputs >= 256) {
      enqueue_few<32>(args, stream);
    } else if (args.inputs >= 128) {
      enqueue_few<16>(args, stream);
    } else {
      enqueue_few<4>(args, stream);
    }
    args.x += few_rows * args.x_row;
    args.y += few_rows * args.y_row;
  }
}

/// A thread has eight numbers of a row.
__global__ void __launch_bounds__(32 * warps) as_bf16_kernel(HeadsAsBf16Args args) {
  const int64_t at = 8 * (blockIdx.x * int64_t{32 * warps} + threadIdx.x);
  if (at >= args.rows * args.inputs) return;
  const std::byte* row = args.data + at / args.inputs * Int8Rows::row_bytes(args.inputs);
  const auto codes = Int8Rows::load(row, at % args.inputs);
  const float scale = Int8Rows::scale(row);
  const auto pair = [&](float low, float high) {
    return static_cast<uint32_t>(f32_to_bf16(scale * low)) |
           static_cast<uint32_t>(f32_to_bf16(scale * high)) << 16;
  };
  const auto two = [&](uint32_t bytes) {
    return make_uint2(pair(Int8Rows::number<0>(bytes), Int8Rows::number<1>(bytes)),
                      pair(Int8Rows::number<2>(bytes), Int8Rows::number<3>(bytes)));
  };
  const uint2 low = two(codes.x), high = two(codes.y);
  *reinterpret_cast<uint4*>(args.out + at) = make_uint4(low.x, low.y, high.x, high.y);
}

/// A matrix of each head, column after column.
class MatrixLayout {
 public:
  MatrixLayout(int64_t rows, int64_t cols, int64_t stride, int64_t heads, int64_t head) noexcept {
    cublasLtMatrixLayoutCreate(&layout_, CUDA_R_16BF, static_cast<uint64_t>(rows),
                               static_cast<uint64_t>(cols), stride);
    const auto count = static_cast<int32_t>(heads);
    cublasLtMatrixLayoutSetAttribute(layout_, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                     sizeof count);
    cublasLtMatrixLayoutSetAttribute(layout_, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &head,
                                     sizeof head);
  }
  ~MatrixLayout() { cublasLtMatrixLayoutDestroy(layout_); }
  MatrixLayout(const MatrixLayout&) = delete;
  MatrixLayout& operator=(const MatrixLayout&) = delete;
  cublasLtMatrixLayout_t get() const noexcept { return layout_; }

 private:
  cublasLtMatrixLayout_t layout_ = nullptr;
};

}  // namespace

struct HeadProducts::Library {
  cublasLtHandle_t handle = nullptr;
  device::Block workspace;

  cublasStatus_t run(const HeadsArgs& args, cudaStream_t stream) const noexcept;
};

cublasStatus_t HeadProducts::Library::run(const HeadsArgs& args,
                                          cudaStream_t stream) const noexcept {
  // In columns: y [outputs, rows] = op(W) x [inputs, rows].
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F);
  const cublasOperation_t op = args.transposed ? CUBLAS_OP_N : CUBLAS_OP_T;
  cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_TRANSA, &op, sizeof op);
  const int64_t rows = args.transposed ? args.outputs : args.inputs;
  const int64_t cols = args.transposed ? args.inputs : args.outputs;
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  {
    const MatrixLayout w(rows, cols, rows, args.heads, args.inputs * args.outputs);
    const MatrixLayout x(args.inputs, args.rows, args.x_row, args.heads, args.x_head);
    const MatrixLayout y(args.outputs, args.rows, args.y_row, args.heads, args.y_head);
    cublasLtMatmulPreference_t preference = nullptr;
    cublasLtMatmulPreferenceCreate(&preference);
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                         &workspace_bytes, sizeof workspace_bytes);
    cublasLtMatmulHeuristicResult_t choice{};
    int found = 0;
    status = cublasLtMatmulAlgoGetHeuristic(handle, product, w.get(), x.get(), y.get(), y.get(),
                                            preference, 1, &choice, &found);
    const float one = 1, zero = 0;
    if (status == CUBLAS_STATUS_SUCCESS)
      status = cublasLtMatmul(handle, product, &one, args.weights, w.get(), args.x, x.get(), &zero,
                              args.y, y.get(), args.y, y.get(), &choice.algo, workspace.data(),
                              workspace_bytes, stream);
    cublasLtMatmulPreferenceDestroy(preference);
  }
  cublasLtMatmulDescDestroy(product);
  return status;
}

void heads_as_bf16(const HeadsAsBf16Args& args, const device::Queue& queue) noexcept {
  as_bf16_kernel<<<device::blocks_for(args.rows * args.inputs, 8 * 32 * warps), 32 * warps, 0,
                   device::stream_of(queue)>>>(args);
}

HeadProducts::HeadProducts(const device::Queue& queue)
    : queue_(queue), library_(std::make_unique<Library>()) {
  const device::CurrentGpu current(queue.place().index);
  library_->workspace = device::alloc(queue.place(), workspace_bytes);
  if (cublasLtCreate(&library_->handle) != CUBLAS_STATUS_SUCCESS) {
    throw_environment("cuBLASLt cannot start on " + to_string(queue.place()));
  }
}

uint64_t HeadProducts::bytes() noexcept {
  return workspace_bytes;
}

HeadProducts::~HeadProducts() {
  cublasLtDestroy(library_->handle);
}

void HeadProducts::run(const HeadsArgs& args) const noexcept {
  if (args.rows == 0) return;
  const cudaStream_t stream = device::stream_of(queue_);
  if (args.rows <= most_few_rows && !args.transposed) {
    run_few(args, stream);
  } else if (const auto status = library_->run(args, stream); status != CUBLAS_STATUS_SUCCESS) {
    device::refuse(queue_, cublasLtGetStatusString(status));
  }
}

}  // namespace ktx::ops::cuda
