// The subjects of kernel benchmarks: ops on weights that are not in any cache.
#pragma once

#include <memory>

#include "core/hw/worker_pool.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::engine {

class BenchSubject {
 public:
  virtual ~BenchSubject() = default;

  /// Sets the tokens of the following calls: per active expert, per layer, or per matrix.
  virtual void set_tokens(int64_t tokens) = 0;
  /// Multiplies by the next weights in turn.
  virtual void call() noexcept = 0;

  virtual int active() const noexcept = 0;        // experts or matrices used by a call
  virtual int64_t products() const noexcept = 0;  // token-expert (or token-matrix) pairs of a call
  virtual double weights() const noexcept = 0;    // per expert or matrix
  virtual int64_t bytes() const noexcept = 0;     // per expert or matrix, packed
};

struct BenchSetup {
  quant::Format format = quant::Format::f32;
  int64_t hidden = 0, intermediate = 0;
  const ops::MatmulKernel* gate = nullptr;  // of matrices [intermediate, hidden]
  const ops::MatmulKernel* down = nullptr;  // of [hidden, intermediate]; linear: null
};

/// Packed bytes of an expert (linear: a matrix).
int64_t bench_bytes(const BenchSetup& setup) noexcept;

/// `count` routed experts (linear: matrices) with random weights. The pool must outlive the
/// subject. Throws environment error when memory is short.
std::unique_ptr<BenchSubject> make_moe_subject(const BenchSetup& setup, int count,
                                               hw::WorkerPool& pool);
/// The same, but every call runs all of them, with a layer's tokens distributed as by a router.
std::unique_ptr<BenchSubject> make_layer_subject(const BenchSetup& setup, int count,
                                                 hw::WorkerPool& pool);
std::unique_ptr<BenchSubject> make_linear_subject(const BenchSetup& setup, int count,
                                                  hw::WorkerPool& pool);

}  // namespace ktx::engine
