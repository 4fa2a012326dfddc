// Linear layers on a GPU: few tokens from packed bytes, many through cuBLASLt.
#include <cublasLt.h>

#include <algorithm>

#include "core/base/error.hpp"
#include "core/device/cuda.hpp"
#include "ops/elementwise/cuda.hpp"
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

const uint8_t* bytes_of(const PackedMatrix& w) noexcept {
  return reinterpret_cast<const uint8_t*>(w.data);
}

/// Whether so many tokens are multiplied from packed bytes.
bool by_few_rows(const PackedMatrix& w, int64_t tokens) noexcept {
  return has_few_rows(*x16_format(w.format)) && tokens <= few_tokens;
}

/// Of matrices like w, without their parts.
ProductsArgs few_rows_args(const PackedMatrix& w, const uint16_t* x, int64_t x_stride,
                           int64_t tokens) noexcept {
  return {.format = *x16_format(w.format),
          .cols = static_cast<int>(w.cols),
          .group_bytes = group_bytes_of(w),
          .tokens = static_cast<int>(tokens),
          .x = x,
          .x_stride = x_stride};
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
cublasStatus_t multiply(cublasLtHandle_t handle, const DenseArgs& args,
                        cudaStream_t stream) noexcept {
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
  const cublasStatus_t chosen = cublasLtMatmulAlgoGetHeuristic(handle, d.product, d.w, d.x, d.y,
                                                               d.y, d.preference, 1, &best, &found);
  if (chosen != CUBLAS_STATUS_SUCCESS) return chosen;
  const float one = 1, beta = of.add != nullptr ? 1 : 0;
  void* y = bf16 ? static_cast<void*>(of.y_bf16 + args.first_row) : of.y + args.first_row;
  const void* add = of.add != nullptr ? of.add + args.first_row : y;
  return cublasLtMatmul(handle, d.product, &one, args.w, d.w, of.x, d.x, &beta, add, d.y, y, d.y,
                        &best.algo, args.workspace, workspace_bytes, stream);
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
  matmul_many({&args, 1}, space);
}

void matmul_many(std::span<const MatmulArgs> products, MatmulSpace& space) noexcept {
  for (size_t i = 0; i < products.size(); ++i) {
    const MatmulArgs& first = products[i];
    if (first.tokens == 0) return;
    if (!by_few_rows(first.w, first.tokens)) {
      matmul_by_decoded_rows(first, space);
      continue;
    }
    // With all of its format that follow, unless it has gone with one before.
    const auto goes_along = [&](const MatmulArgs& other) {
      return other.w.format == first.w.format;
    };
    if (std::any_of(products.begin(), products.begin() + static_cast<int64_t>(i), goes_along))
      continue;
    ProductsArgs args = few_rows_args(first.w, first.x, first.x_stride, first.tokens);
    args.part_count = 0;
    for (const MatmulArgs& product : products.subspan(i))
      if (goes_along(product))
        args.parts[args.part_count++] = {.rows = static_cast<int>(product.w.rows),
                                         .weights = bytes_of(product.w),
                                         .y = product.y,
                                         .y_bf16 = product.y_bf16,
                                         .y_stride = product.y_stride,
                                         .add = product.add};
    space.run(args);
  }
}

void gated(const GatedArgs& args, MatmulSpace& space) noexcept {
  const PackedMatrix &gate = args.gate, &up = args.up;
  if (by_few_rows(gate, args.tokens) && gate.format == up.format) {
    ProductsArgs products = few_rows_args(gate, args.x, args.x_stride, args.tokens);
    products.gated = true;
    products.parts[0] = {.rows = static_cast<int>(gate.rows),
                         .weights = bytes_of(gate),
                         .up = bytes_of(up),
                         .y_bf16 = args.y,
                         .y_stride = args.y_stride};
    return space.run(products);
  }
  MatmulArgs both[2];
  both[0] = {.w = gate,
             .x = args.x,
             .x_stride = args.x_stride,
             .tokens = args.tokens,
             .y_bf16 = args.y,
             .y_stride = args.y_stride};
  both[1] = both[0];
  both[1].w = up;
  both[1].y_bf16 = args.up_to;
  both[1].y_stride = args.up_stride;
  matmul_many(both, space);
  silu_mul({.gate = args.y,
            .gate_stride = args.y_stride,
            .up = args.up_to,
            .up_stride = args.up_stride,
            .y = args.y,
            .y_stride = args.y_stride,
            .tokens = args.tokens,
            .width = gate.rows},
           space.queue_);
}

void MatmulSpace::run(ProductsArgs& products) noexcept {
  products.partial = partial_.as<float>();
  products.arrived = arrived_.as<unsigned>();
  plan_products(products, products.tokens, queue_,
                {.floats = partial_bytes / sizeof(float), .tiles = most_tiles});
  run_products(products, queue_);
}

void matmul_by_decoded_rows(const MatmulArgs& args, MatmulSpace& space) noexcept {
  const device::CurrentGpu current(space.queue_.place().index);
  const int64_t fit = static_cast<int64_t>(slab_bytes) / (args.w.cols * 2) / row_group * row_group;
  const int64_t group_bytes = group_bytes_of(args.w);
  for (int64_t row = 0; row < args.w.rows; row += fit) {
    const int64_t rows = std::min(fit, args.w.rows - row);
    decode_rows({.format = *x16_format(args.w.format),
                 .groups = bytes_of(args.w) + row / row_group * group_bytes,
                 .group_bytes = group_bytes,
                 .group_count = (rows + row_group - 1) / row_group,
                 .cols = args.w.cols,
                 .out = space.slab_.as<uint16_t>()},
                space.queue_);
    const auto status = multiply(static_cast<cublasLtHandle_t>(space.handle_),
                                 {.w = space.slab_.as<uint16_t>(),
                                  .rows = rows,
                                  .cols = args.w.cols,
                                  .product = &args,
                                  .first_row = row,
                                  .workspace = space.workspace_.data()},
                                 device::stream_of(space.queue_));
    if (status != CUBLAS_STATUS_SUCCESS)
      return device::refuse(space.queue_, cublasLtGetStatusString(status));
  }
}

}  // namespace ktx::ops::cuda
