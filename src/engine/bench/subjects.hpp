// What benchmarks of kernels call: an op on weights that no cache holds.
#pragma once

#include <memory>

#include "core/hw/worker_pool.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::engine {

class BenchSubject {
 public:
  virtual ~BenchSubject() = default;

  /// What the following calls multiply by: `tokens` tokens for each active expert, for the layer,
  /// or for the matrix.
  virtual void set_tokens(int64_t tokens) = 0;
  /// Multiplies by the next weights in turn.
  virtual void call() noexcept = 0;

  virtual int active() const noexcept = 0;        // experts or matrices that a call multiplies by
  virtual int64_t products() const noexcept = 0;  // of a token with one of them, in a call
  virtual double weights() const noexcept = 0;    // of one of them
  virtual int64_t bytes() const noexcept = 0;     // of one of them, packed
};

struct BenchSetup {
  quant::Format format = quant::Format::f32;
  int64_t hidden = 0, intermediate = 0;
  const ops::MatmulKernel* gate = nullptr;  // of matrices [intermediate, hidden]
  const ops::MatmulKernel* down = nullptr;  // of [hidden, intermediate]; linear: null
};

/// Packed bytes of an expert (linear: a matrix).
int64_t bench_bytes(const BenchSetup& setup) noexcept;

/// Routed experts, `count` of them (linear: matrices) with random weights. The pool outlives the
/// subject. Throws environment error when there is not enough memory.
std::unique_ptr<BenchSubject> make_moe_subject(const BenchSetup& setup, int count,
                                               hw::WorkerPool& pool);
/// The same, all of them with every call: a layer's tokens go to them as a router sends them.
std::unique_ptr<BenchSubject> make_layer_subject(const BenchSetup& setup, int count,
                                                 hw::WorkerPool& pool);
std::unique_ptr<BenchSubject> make_linear_subject(const BenchSetup& setup, int count,
                                                  hw::WorkerPool& pool);

}  // namespace ktx::engine
