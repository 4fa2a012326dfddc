// Matrix product y = x W^T for a range of W's rows, on one thread: the building block of linear,
// moe and mla.
//
// A matrix is packed once, while loading, into a Layout; all fast kernels of a format share one
// layout, so that decode and prefill can use different kernels on the same bytes.
//
// Where things are:
//   matmul.*        this contract, the table of kernels and its look-ups
//   x86_<isa>*.cpp  the kernels compiled for one ISA, made of the templates in the subfolders;
//                   x16_args.hpp has their arguments and exports, x86_all_formats.hpp what AVX2
//                   and AVX-512 share
//   layout_x16.*    the layout of the fast kernels, and packing into it
//   activation.*    activations as the kernels read them
//   decoded_rows.*  products with Layout::rows, for every format; ref.cpp has their loop in float32
//   node_rows.hpp   which rows the workers of a NUMA node compute
//   integer/        integer weights (Q4_K, int4, ...) and those of codebooks (IQ1 to IQ3) with int8
//                   activations
//   float/          f32, f16, bf16 and fp8 weights with f32 activations
//   tiles/          many tokens, in tiles of 16 rows of 64 bytes: AMX, AVX-512 BF16
//   onednn/         many tokens of a linear layer, through oneDNN
//   simd/           AVX2 and AVX-512 vectors behind one interface, for those templates
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
struct TilePackArgs;

enum class Layout : uint8_t {
  rows,  // as the format defines it: row after row
  x16,  // groups of 16 rows interleaved (described in layout_x16.hpp); rows padded to a multiple of
        // 16
};

/// Rows that one group of Layout::x16 holds; row ranges given to kernels start at multiples of it.
constexpr int64_t row_group = 16;

/// Rows between NUMA nodes are cut at multiples of this: as many as share a scale of what experts
/// compute from them, so that its values are those of one node.
constexpr int64_t node_row_unit = 256;

enum class ActivationFormat : uint8_t {
  f32,  // cols floats
  q8,   // int8 in blocks of 32 columns; a block has an f32 scale, its sum times that, and the same
        // of its halves (activation.hpp)
  bf16_tiles,  // blocks of 16 tokens, for kernels of many tokens (tiles.hpp)
  int8_tiles,
  f32_chunks,  // chunks of columns, for products with panels of weights (onednn_panels.hpp)
  u8_chunks,
};
constexpr int activation_formats = 6;

/// T rows of activations, prepared for a kernel. Row t is at data + row_bytes * (rows ? rows[t] :
/// t). Tiles are not in rows: there are parts_of(tokens, 16) blocks of them.
struct Activations {
  ActivationFormat format = ActivationFormat::f32;
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
  /// From this many tokens on tiles, or chunks, are faster; 0: it has none.
  int64_t least_tile_tokens = 0;
  /// Their format; what activation() says for matrices without.
  ActivationFormat (*tile_format)(quant::Format format, int64_t cols) noexcept = nullptr;
  void (*pack_tiles)(ActivationFormat to, const TilePackArgs& args) noexcept = nullptr;
  /// Groups of rows that it takes at a time.
  int64_t groups = 2;
  /// Formats that it is better for than the kernels after it; where a module has none of these, it
  /// is left to them. Null: all.
  bool (*is_for)(quant::Format format) noexcept = nullptr;
  /// run() of the same tiles with one or two matrices of one format and shape: they are read once.
  /// Null: it has none.
  void (*run_together)(std::span<const MatmulArgs> products) noexcept = nullptr;
};

/// Empty, or why products with matrices of that format are slow: the kernel has no loop for it and
/// decodes row after row (decoded_rows.hpp).
std::string slow_path(const MatmulKernel& kernel, quant::Format format);

/// Best first; "ref" last. ref takes every format in Layout::rows with f32 activations.
std::span<const MatmulKernel> matmul_kernels() noexcept;

/// The row "onednn", which is for linear layers alone and not among matmul_kernels(): prompts
/// through oneDNN, where this build has it; a few tokens as avx512_vnni.
///
/// Of f32, f16, bf16 and fp8 it multiplies the exact weights in f32; of int8 in int8, with a scale
/// for every 1,024 columns of a token. It is best for them where there is no AMX: of
/// 32 tokens and more 1.1 to 2.6 times as fast as avx512_vnni (docs/measuring.md).
const MatmulKernel& onednn_kernel() noexcept;

/// The activations with which a kernel runs so many tokens: tiles, or what activation() says.
ActivationFormat activation_for(const MatmulKernel& kernel, quant::Format format, int64_t cols,
                                int64_t tokens) noexcept;

/// Not rows of their own: blocks of 16 tokens, tiles or chunks.
constexpr bool is_tiles(ActivationFormat format) noexcept {
  return format >= ActivationFormat::bf16_tiles;
}

/// Bytes of the tiles or chunks of so many tokens.
int64_t tile_bytes_of(ActivationFormat format, int64_t cols, int64_t tokens) noexcept;

/// The kernel of that name, "onednn" included, or nullptr.
const MatmulKernel* find_matmul_kernel(std::string_view name) noexcept;

/// The first kernel of the table that `isa` allows, that is for the format and does not refuse;
/// never null (ref).
const MatmulKernel& best_matmul_kernel(hw::Isa isa, quant::Format format, int64_t rows,
                                       int64_t cols);

/// The same for prompts of a linear layer: onednn before the others of its level.
const MatmulKernel& best_linear_kernel(hw::Isa isa, quant::Format format, int64_t rows,
                                       int64_t cols);

/// Bytes of one prepared activation row, f32 or q8; a multiple of 64.
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

/// Rows [row_begin, row_end) of a matrix in the memory of one NUMA node, packed as a matrix of
/// those rows alone; of several matrices each matrix_bytes after the one before.
struct NodeRows {
  const std::byte* data = nullptr;
  int64_t row_begin = 0, row_end = 0;
  int64_t matrix_bytes = 0;
};

/// A packed matrix with the kernels chosen for it. Kernels of both phases share layout; they may
/// differ in activation format.
struct PackedMatrix {
  const std::byte* data = nullptr;  // for the workers of all nodes; unused where `nodes` is given
  quant::Format format = quant::Format::f32;
  int64_t rows = 0, cols = 0;
  const MatmulKernel* decode = nullptr;
  const MatmulKernel* prefill = nullptr;
  int64_t matrix_bytes = 0;         // from one matrix to the next, where there are several alike
  std::span<const NodeRows> nodes;  // what each node of the pool holds (node_rows.hpp), or empty
};

}  // namespace ktx::ops
