// The table of matmul kernels and its look-ups.
#include "ops/matmul/matmul.hpp"

#include <cstring>

#include "ops/matmul/activation.hpp"
#include "ops/matmul/decoded_rows.hpp"
#include "ops/matmul/layout_x16.hpp"
#include "ops/matmul/onednn/onednn_kernel.hpp"
#include "ops/matmul/tiles/tile_kernel.hpp"
#include "ops/matmul/x16_args.hpp"

namespace ktx::ops {
namespace {

std::string refuse_none(quant::Format, int64_t, int64_t) {
  return {};
}

std::string refuse_x16(quant::Format format, int64_t, int64_t cols) {
  const auto x16 = x16_format(format);
  if (!x16 || cols % x16_columns(*x16) == 0) return {};
  return "needs columns in multiples of " + std::to_string(x16_columns(*x16)) + " for " +
         std::string(quant::name(format)) + ", not " + std::to_string(cols);
}

Layout layout_rows(quant::Format) noexcept {
  return Layout::rows;
}

Layout layout_x16(quant::Format format) noexcept {
  return x16_format(format) ? Layout::x16 : Layout::rows;
}

ActivationFormat activation_f32(quant::Format) noexcept {
  return ActivationFormat::f32;
}

ActivationFormat activation_x16(quant::Format format) noexcept {
  const auto x16 = x16_format(format);
  return x16 ? ops::x16_activation(*x16) : ActivationFormat::f32;
}

template <void (*Quantize)(const QuantizeArgs&) noexcept>
void prepare(ActivationFormat to, const float* x, int64_t cols, std::byte* dst) noexcept {
  if (to == ActivationFormat::q8)
    Quantize(q8_quantize_args(x, cols, 0, cols / q8_block, dst));
  else
    std::memcpy(dst, x, static_cast<size_t>(cols) * sizeof(float));
}

void quantize_avx2(const QuantizeArgs& args) noexcept {
  x86_avx2.quantize(args);
}
void quantize_avx512(const QuantizeArgs& args) noexcept {
  x86_avx512.quantize(args);
}

X16Args x16_args(const MatmulArgs& args, X16 format) noexcept {
  const int64_t group_bytes = x16_group_bytes(format, args.cols);
  const Q8Offsets at = q8_offsets(args.cols);
  return {.weights = reinterpret_cast<const uint8_t*>(args.weights) +
                     args.row_begin / row_group * group_bytes,
          .group_bytes = group_bytes,
          .rows = args.row_end - args.row_begin,
          .cols = args.cols,
          .x = reinterpret_cast<const uint8_t*>(args.x.data),
          .x_row_bytes = args.x.row_bytes,
          .x_rows = args.x.rows,
          .tokens = args.x.tokens,
          .scales = at.scales,
          .sums = at.sums,
          .half_sums = at.half_sums,
          .y = args.y,
          .y_stride = args.y_stride,
          .next = reinterpret_cast<const uint8_t*>(args.next)};
}

/// Kernels of the first unit that has one for the format.
template <const X86Unit&... Units>
void run_x86(const MatmulArgs& args) noexcept {
  const X16 format = *x16_format(args.format);
  const X16Args x16 = x16_args(args, format);
  const auto run_if_any = [&](const X86Unit& unit) {
    const auto run = unit.run[static_cast<size_t>(format)];
    if (run != nullptr) run(x16);
    return run != nullptr;
  };
  static_cast<void>((run_if_any(Units) || ...));
}

void run_vnni(const MatmulArgs& args) noexcept {
  run_x86<x86_avx512_vnni, x86_avx512>(args);
}

void run_vbmi(const MatmulArgs& args) noexcept {
  run_x86<x86_avx512_vbmi, x86_avx512_vnni, x86_avx512>(args);
}

// Few tokens are the business of the VNNI kernels, which read the same layout.
template <const TileUnit& Unit>
void run_tiles(const MatmulArgs& args) noexcept {
  is_tiles(args.x.format) ? multiply_tiles(Unit, {&args, 1}) : run_vbmi(args);
}

template <const TileUnit& Unit>
void run_tiles_together(std::span<const MatmulArgs> products) noexcept {
  multiply_tiles(Unit, products);
}

template <const TileUnit& Unit>
ActivationFormat tiles_or_x16(quant::Format format, int64_t cols) noexcept {
  return tile_format(Unit, format, cols).value_or(activation_x16(format));
}

template <const TileUnit& Unit>
void pack_tiles_of(ActivationFormat to, const TilePackArgs& args) noexcept {
  pack_tiles(Unit, to, args);
}

void run_panels(const MatmulArgs& args) noexcept {
  is_tiles(args.x.format) ? multiply_panels(args) : run_vnni(args);
}

std::string refuse_integers(quant::Format format, int64_t rows, int64_t cols) {
  const auto x16 = x16_format(format);
  if (!x16 || x86_avx512_bf16.products[static_cast<size_t>(*x16)].multiply == nullptr)
    return "is for f16, bf16 and fp8, not " + std::string(quant::name(format));
  return refuse_x16(format, rows, cols);
}

bool has_codebook(quant::Format format) noexcept {
  const auto x16 = x16_format(format);
  return x16 && x86_avx512_vbmi.run[static_cast<size_t>(*x16)] != nullptr;
}

std::string refuse_panels(quant::Format format, int64_t rows, int64_t cols) {
  const auto reason = refuse_x16(format, rows, cols);
  return reason.empty() ? panel_refusal(format, rows, cols) : reason;
}

using hw::Isa;

template <const TileUnit& Unit>
constexpr MatmulKernel tile_row(std::string_view name, Isa isa,
                                std::string (*refusal)(quant::Format, int64_t, int64_t)) {
  return {.name = name,
          .isa = isa,
          .refusal = refusal,
          .layout = layout_x16,
          .activation = activation_x16,
          .prepare = prepare<quantize_avx512>,
          .quantize = quantize_avx512,
          .run = run_tiles<Unit>,
          .least_tile_tokens = least_tokens_on_tiles,
          .tile_format = tiles_or_x16<Unit>,
          .pack_tiles = pack_tiles_of<Unit>,
          .run_together = run_tiles_together<Unit>};
}

constexpr MatmulKernel onednn{"onednn",         Isa::avx512_vnni, refuse_panels,
                              layout_x16,       activation_x16,   prepare<quantize_avx512>,
                              quantize_avx512,  run_panels,       least_tokens_on_tiles,
                              panel_activation, pack_for_panels,  panel_groups};

constexpr MatmulKernel table[] = {
    tile_row<x86_amx_int8>("amx", Isa::amx_int8, refuse_x16),
    tile_row<x86_amx_bf16>("amx_bf16", Isa::amx_bf16, refuse_x16),
    tile_row<x86_avx512_bf16>("avx512_bf16", Isa::avx512_bf16, refuse_integers),
    {.name = "avx512_vbmi",
     .isa = Isa::avx512_vbmi,
     .refusal = refuse_x16,
     .layout = layout_x16,
     .activation = activation_x16,
     .prepare = prepare<quantize_avx512>,
     .quantize = quantize_avx512,
     .run = run_vbmi,
     .is_for = has_codebook},
    {"avx512_vnni", Isa::avx512_vnni, refuse_x16, layout_x16, activation_x16,
     prepare<quantize_avx512>, quantize_avx512, run_vnni},
    {"avx512", Isa::avx512, refuse_x16, layout_x16, activation_x16, prepare<quantize_avx512>,
     quantize_avx512, run_x86<x86_avx512>},
    {"avx2", Isa::avx2, refuse_x16, layout_x16, activation_x16, prepare<quantize_avx2>,
     quantize_avx2, run_x86<x86_avx2>},
    {"ref", Isa::scalar, refuse_none, layout_rows, activation_f32, prepare<quantize_q8>,
     quantize_q8, multiply_decoded},
};

}  // namespace

std::span<const MatmulKernel> matmul_kernels() noexcept {
  return table;
}

const MatmulKernel& onednn_kernel() noexcept {
  return onednn;
}

std::string slow_path(const MatmulKernel& kernel, quant::Format format) {
  if (kernel.layout(format) != Layout::rows) return {};
  return std::string(kernel.name) + " has no kernel for " + std::string(quant::name(format)) +
         " and decodes row by row: about 20 to 200 times slower than q4_k";
}

ActivationFormat activation_for(const MatmulKernel& kernel, quant::Format format, int64_t cols,
                                int64_t tokens) noexcept {
  const bool tiles = kernel.least_tile_tokens > 0 && tokens >= kernel.least_tile_tokens;
  return tiles ? kernel.tile_format(format, cols) : kernel.activation(format);
}

int64_t tile_bytes_of(ActivationFormat format, int64_t cols, int64_t tokens) noexcept {
  if (format == ActivationFormat::f32_chunks || format == ActivationFormat::u8_chunks)
    return panel_activation_bytes(format, cols, tokens);
  const int64_t blocks = parts_of(tokens, tile_tokens);
  return format == ActivationFormat::bf16_tiles
             ? blocks * parts_of(cols, bf16_chunk) * bf16_chunk_bytes
             : blocks * parts_of(cols, int8_chunk) * int8_chunk_bytes;
}

const MatmulKernel* find_matmul_kernel(std::string_view name) noexcept {
  for (const MatmulKernel& kernel : table)
    if (kernel.name == name) return &kernel;
  return onednn.name == name ? &onednn : nullptr;
}

const MatmulKernel& best_matmul_kernel(hw::Isa isa, quant::Format format, int64_t rows,
                                       int64_t cols) {
  for (const MatmulKernel& kernel : table)
    if (kernel.isa <= isa && (kernel.is_for == nullptr || kernel.is_for(format)) &&
        kernel.refusal(format, rows, cols).empty())
      return kernel;
  return table[std::size(table) - 1];
}

const MatmulKernel& best_linear_kernel(hw::Isa isa, quant::Format format, int64_t rows,
                                       int64_t cols) {
  const MatmulKernel& best = best_matmul_kernel(isa, format, rows, cols);
  return best.isa == onednn.isa && onednn.refusal(format, rows, cols).empty() ? onednn : best;
}

int64_t packed_bytes(Layout layout, quant::Format format, int64_t rows, int64_t cols) noexcept {
  if (layout == Layout::rows) return (rows * quant::row_bytes(format, cols) + 63) / 64 * 64;
  return (rows + row_group - 1) / row_group * x16_group_bytes(x16_format(format).value(), cols);
}

void pack_matrix(const PackArgs& args) noexcept {
  if (args.layout == Layout::x16) return pack_x16(args);
  const int64_t row_bytes = quant::row_bytes(args.format, args.cols);
  std::memcpy(args.dst + args.row_begin * row_bytes, args.src,
              static_cast<size_t>((args.row_end - args.row_begin) * row_bytes));
}

}  // namespace ktx::ops
