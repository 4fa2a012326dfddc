// Linear layers on a GPU: few tokens from packed bytes, many through cuBLASLt.
#include <cublasLt.h>

#include <algorithm>

#include "core/base/error.hpp"
#include "core/device/cuda.hpp"
#include "ops/matmul/cuda/decode_rows.hpp"
#include "ops/matmul/cuda/matmul.hpp"
#include "ops/matmul/cuda/products.hpp"
#include "ops/matmul/layout_x16.hpp"

namespace ktx::ops::cuda {

namespace {

constexpr size_t partial_bytes = size_t{32} << 20;
constexpr size_t most_tiles = size_t{1} << 16;
constexpr size_t slab_bytes = size_t{64} << 20;
constexpr size_t workspace_bytes = size_t{32} << 20;

int64_t group_bytes_of(const PackedMatrix& w) noexcept {
  return x16_group_bytes(*x16_format(w.format), w.cols);
}

/// cuBLASLt's descriptions of one product, freed with it.
struct Description {
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t w = nullptr, x = nullptr, y = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;

  ~Description() {
    if (preference != nullptr) cublasLtMatmulPreferenceDestroy(preference);
    for (const auto layout : {w, x, y})
      if (layout != nullptr) cublasLtMatrixLayoutDestroy(layout);
    if (product != nullptr) cublasLtMatmulDescDestroy(product);
  }
};

struct DenseArgs {
  const uint16_t* w;  // bf16 [rows, cols]
  int64_t rows, cols;
  const MatmulArgs* product;  // its x and tokens
  int64_t first_row;          // of y
  void* workspace;
};

// cuBLASLt's matrices lie column by column: its y [rows, tokens] = (w [cols, rows])^T x [cols,
// tokens].
void multiply(cublasLtHandle_t handle, const DenseArgs& args, cudaStream_t stream) noexcept {
  const MatmulArgs& of = *args.product;
  const bool bf16 = of.y_bf16 != nullptr;
  Description d;
  cublasLtMatmulDescCreate(&d.product, CUBLAS_COMPUTE_32F, CUDA_R_32F);
  const cublasOperation_t transposed = CUBLAS_OP_T;
  cublasLtMatmulDescSetAttribute(d.product, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                 sizeof transposed);
  const auto u = [](int64_t n) { return static_cast<uint64_t>(n); };
  cublasLtMatrixLayoutCreate(&d.w, CUDA_R_16BF, u(args.cols), u(args.rows), args.cols);
  cublasLtMatrixLayoutCreate(&d.x, CUDA_R_16BF, u(args.cols), u(of.tokens), of.x_stride);
  cublasLtMatrixLayoutCreate(&d.y, bf16 ? CUDA_R_16BF : CUDA_R_32F, u(args.rows), u(of.tokens),
                             of.y_stride);
  cublasLtMatmulPreferenceCreate(&d.preference);
  const size_t bytes = workspace_bytes;
  cublasLtMatmulPreferenceSetAttribute(d.preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                       &bytes, sizeof bytes);
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  cublasLtMatmulAlgoGetHeuristic(handle, d.product, d.w, d.x, d.y, d.y, d.preference, 1, &best,
                                 &found);
  const float one = 1, beta = of.add != nullptr ? 1 : 0;
  void* y = bf16 ? static_cast<void*>(of.y_bf16 + args.first_row) : of.y + args.first_row;
  const void* add = of.add != nullptr ? of.add + args.first_row : y;
  cublasLtMatmul(handle, d.product, &one, args.w, d.w, of.x, d.x, &beta, add, d.y, y, d.y,
                 found > 0 ? &best.algo : nullptr, args.workspace, workspace_bytes, stream);
}

}  // namespace

MatmulSpace::MatmulSpace(device::Queue& queue)
    : queue_(queue),
      partial_(device::alloc(queue.place(), partial_bytes)),
      arrived_(device::alloc(queue.place(), most_tiles * sizeof(unsigned))),
      slab_(device::alloc(queue.place(), slab_bytes)),
      workspace_(device::alloc(queue.place(), workspace_bytes)) {
  const device::CurrentGpu current(queue.place().index);
  device::check(cudaMemset(arrived_.data(), 0, arrived_.size()), "clearing a GPU's memory");
  cublasLtHandle_t handle = nullptr;
  if (cublasLtCreate(&handle) != CUBLAS_STATUS_SUCCESS)
    throw_environment(to_string(queue.place()) + ": cuBLASLt does not start");
  handle_ = handle;
}

uint64_t MatmulSpace::bytes() noexcept {
  return partial_bytes + most_tiles * sizeof(unsigned) + slab_bytes + workspace_bytes;
}

MatmulSpace::~MatmulSpace() {
  const device::CurrentGpu current(queue_.place().index);
  cublasLtDestroy(static_cast<cublasLtHandle_t>(handle_));
}

void matmul(const MatmulArgs& args, MatmulSpace& space) noexcept {
  const X16 format = *x16_format(args.w.format);
  if (args.tokens == 0) return;
  if (!has_few_rows(format) || args.tokens > few_tokens) return matmul_by_decoded_rows(args, space);
  ProductsArgs products{.format = format,
                        .rows = static_cast<int>(args.w.rows),
                        .cols = static_cast<int>(args.w.cols),
                        .group_bytes = group_bytes_of(args.w),
                        .groups = static_cast<int>((args.w.rows + row_group - 1) / row_group),
                        .weights = reinterpret_cast<const uint8_t*>(args.w.data),
                        .tokens = static_cast<int>(args.tokens),
                        .x = args.x,
                        .x_stride = args.x_stride,
                        .y = args.y,
                        .y_bf16 = args.y_bf16,
                        .y_stride = args.y_stride,
                        .add = args.add,
                        .partial = space.partial_.as<float>(),
                        .arrived = space.arrived_.as<unsigned>()};
  plan_products(products, args.tokens, space.queue_,
                {.floats = partial_bytes / sizeof(float), .tiles = most_tiles});
  run_products(products, space.queue_);
}

void matmul_by_decoded_rows(const MatmulArgs& args, MatmulSpace& space) noexcept {
  const device::CurrentGpu current(space.queue_.place().index);
  const int64_t fit = static_cast<int64_t>(slab_bytes) / (args.w.cols * 2) / row_group * row_group;
  const int64_t group_bytes = group_bytes_of(args.w);
  for (int64_t row = 0; row < args.w.rows; row += fit) {
    const int64_t rows = std::min(fit, args.w.rows - row);
    decode_rows(
        {.format = *x16_format(args.w.format),
         .groups = reinterpret_cast<const uint8_t*>(args.w.data) + row / row_group * group_bytes,
         .group_bytes = group_bytes,
         .group_count = (rows + row_group - 1) / row_group,
         .cols = args.w.cols,
         .out = space.slab_.as<uint16_t>()},
        space.queue_);
    multiply(static_cast<cublasLtHandle_t>(space.handle_),
             {.w = space.slab_.as<uint16_t>(),
              .rows = rows,
              .cols = args.w.cols,
              .product = &args,
              .first_row = row,
              .workspace = space.workspace_.data()},
             device::stream_of(space.queue_));
  }
}

}  // namespace ktx::ops::cuda
