// Matrix product y = x W^T for a range of W's rows, on one thread: what linear, moe and mla are
// made of.
//
// A matrix is packed once, while loading, into a Layout; all fast kernels of a format share one
// layout, so that decode and prefill can use different kernels on the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/hw/isa.hpp"
#include "core/quant/format.hpp"

namespace ktx::ops {

struct QuantizeArgs;

enum class Layout : uint8_t {
  rows,  // as the format defines it: row after row
  x16,  // groups of 16 rows interleaved (described in layout_x16.hpp); rows padded to a multiple of
        // 16
};

/// Rows that one group of Layout::x16 holds; row ranges given to kernels start at multiples of it.
constexpr int64_t row_group = 16;

enum class ActivationFormat : uint8_t {
  f32,  // cols floats
  q8,   // int8 in blocks of 32 columns; a block has an f32 scale, its sum times that, and the same
        // of its halves (activation.hpp)
};

/// T rows of activations, prepared for a kernel. Row t is at data + row_bytes * (rows ? rows[t] :
/// t).
struct Activations {
  const std::byte* data = nullptr;
  int64_t row_bytes = 0;
  const int32_t* rows = nullptr;  // [tokens] gather, or null
  int64_t tokens = 0;
};

struct MatmulArgs {
  const std::byte* weights = nullptr;  // the packed matrix [rows, cols]
  quant::Format format = quant::Format::f32;
  int64_t rows = 0, cols = 0;
  int64_t row_begin = 0, row_end = 0;  // row_begin % row_group == 0; row_end likewise, or == rows
  Activations x;                       // [tokens, cols]
  float* y = nullptr;                  // y[t * y_stride + (row - row_begin)], overwritten
  int64_t y_stride = 0;                // floats
  /// Packed weights that will be multiplied by next: fetched while the last of these are used.
  /// Null: those that lie behind these.
  const std::byte* next = nullptr;
};

struct MatmulKernel {
  std::string_view name;  // "avx512_vnni"; in rules "linear.avx512_vnni", "moe.avx512_vnni"
  hw::Isa isa;            // the least level it needs
  /// Empty when it can multiply by such a matrix, else the reason.
  std::string (*refusal)(quant::Format format, int64_t rows, int64_t cols);
  Layout (*layout)(quant::Format format) noexcept;
  ActivationFormat (*activation)(quant::Format format) noexcept;
  /// Converts one row of cols floats to the kernel's activation format at dst.
  void (*prepare)(ActivationFormat to, const float* x, int64_t cols, std::byte* dst) noexcept;
  /// Converts blocks of 32 columns to q8 (activation.hpp): what prepare does, in parts.
  void (*quantize)(const QuantizeArgs& args) noexcept;
  void (*run)(const MatmulArgs& args) noexcept;
};

/// Best first; "ref" last. ref takes every format in Layout::rows with f32 activations.
std::span<const MatmulKernel> matmul_kernels() noexcept;

/// The kernel of that name, or nullptr.
const MatmulKernel* find_matmul_kernel(std::string_view name) noexcept;

/// The first kernel of the table that `isa` allows and that does not refuse; never null (ref).
const MatmulKernel& best_matmul_kernel(hw::Isa isa, quant::Format format, int64_t rows,
                                       int64_t cols);

/// Bytes of one prepared activation row; a multiple of 64.
int64_t activation_row_bytes(ActivationFormat format, int64_t cols) noexcept;

/// Bytes of a packed matrix; a multiple of 64.
int64_t packed_bytes(Layout layout, quant::Format format, int64_t rows, int64_t cols) noexcept;

/// Packs rows [row_begin, row_end) of a matrix [rows, cols]; row_begin % row_group == 0, row_end
/// likewise or == rows. src: those rows in the format's own layout; dst: the whole packed matrix.
/// Ranges may be packed by different threads.
struct PackArgs {
  Layout layout = Layout::rows;
  quant::Format format = quant::Format::f32;
  int64_t rows = 0, cols = 0;
  int64_t row_begin = 0, row_end = 0;
  const std::byte* src = nullptr;
  std::byte* dst = nullptr;
};
void pack_matrix(const PackArgs& args) noexcept;

/// A packed matrix with the kernels chosen for it. Kernels of both phases share layout; they may
/// differ in activation format.
struct PackedMatrix {
  const std::byte* data = nullptr;
  quant::Format format = quant::Format::f32;
  int64_t rows = 0, cols = 0;
  const MatmulKernel* decode = nullptr;
  const MatmulKernel* prefill = nullptr;
};

}  // namespace ktx::ops
