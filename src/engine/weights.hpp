// The weights of a model in memory: quantized and packed as the plan says, module by module.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/buffer.hpp"
#include "core/hw/worker_pool.hpp"
#include "loader/checkpoint.hpp"
#include "ops/matmul/matmul.hpp"
#include "placement/plan.hpp"

namespace ktx::engine {

/// `count` matrices [rows, cols], each matrix_bytes after the one before.
struct LoadedWeight {
  std::string_view role;
  quant::Format format = quant::Format::f32;
  ops::Layout layout = ops::Layout::rows;
  int64_t count = 1, rows = 0, cols = 0;
  const std::byte* data = nullptr;
  int64_t matrix_bytes = 0;

  const float* floats() const noexcept { return reinterpret_cast<const float*>(data); }
};

/// All weights, in one block of memory so that large pages serve even small models.
class Weights {
 public:
  using OnProgress = std::function<void(const std::string& module, uint64_t done, uint64_t total)>;

  /// Reads every planned module once, quantizing and packing on all workers; the source's pages are
  /// released as they are consumed. done and total: bytes of the checkpoint.
  /// Throws what the source throws, environment when memory runs out.
  Weights(const placement::Plan& plan, const loader::TensorSource& source, hw::WorkerPool& pool,
          const OnProgress& on_progress);

  /// A module's weight by role, or nullptr. module: index into plan.model.modules.
  const LoadedWeight* find(int module, std::string_view role) const noexcept;
  /// The same, for weights the op cannot do without.
  const LoadedWeight& get(int module, std::string_view role) const;

  uint64_t bytes() const noexcept { return arena_.size(); }
  uint64_t source_bytes() const noexcept { return source_bytes_; }

 private:
  base::Buffer arena_;
  std::vector<std::vector<LoadedWeight>> modules_;
  uint64_t source_bytes_ = 0;
};

}  // namespace ktx::engine
