// Products with a matrix of each head on a GPU: queries into the width of latents and back, latents
// into keys and values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/device/memory.hpp"
#include "core/device/queue.hpp"
#include "core/quant/format.hpp"

namespace ktx::ops::cuda {

/// A matrix [outputs, inputs] of each head in a GPU's memory, in Layout::rows. inputs: a multiple
/// of 8.
struct HeadMatrices {
  const std::byte* data = nullptr;
  quant::Format format = quant::Format::bf16;  // or int8
};

/// All rows of int8 matrices as bf16: out [rows, inputs].
struct HeadsAsBf16Args {
  const std::byte* data = nullptr;
  int64_t rows = 0, inputs = 0;
  uint16_t* out = nullptr;
};
void heads_as_bf16(const HeadsAsBf16Args& args, const device::Queue& queue) noexcept;

/// y[r, h, :] = W_h x[r, h, :] for each head h, all bf16. Strides in numbers, multiples of 8.
struct HeadsArgs {
  const uint16_t* weights =
      nullptr;  // [heads, outputs, inputs]; transposed: [heads, inputs, outputs]
  bool transposed = false;
  int64_t heads = 0, outputs = 0, inputs = 0;  // inputs: a multiple of 8
  const uint16_t* x = nullptr;
  int64_t x_row = 0, x_head = 0;  // x_head 0: all heads have the same x
  uint16_t* y = nullptr;
  int64_t y_row = 0, y_head = 0;
  int64_t rows = 0;
};

/// Few rows at memory speed by a kernel of its own, many by cuBLASLt.
class HeadProducts {
 public:
  /// Throws environment error when cuBLASLt cannot start.
  explicit HeadProducts(const device::Queue& queue);
  ~HeadProducts();
  /// Bytes of the GPU's memory.
  static uint64_t bytes() noexcept;
  HeadProducts(const HeadProducts&) = delete;
  HeadProducts& operator=(const HeadProducts&) = delete;

  /// On the queue that the object is for.
  void run(const HeadsArgs& args) const noexcept;

 private:
  struct Library;
  const device::Queue& queue_;
  std::unique_ptr<Library> library_;
};

}  // namespace ktx::ops::cuda
