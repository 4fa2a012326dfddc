// Test doubles of the kernels over AMX tiles: rows of the tables with other tiles and ISA levels.
#include "support/emulated/emulated_amx.hpp"

#include "ops/matmul/tiles/tile_kernel.hpp"
#include "support/emulated/emulated_tiles.hpp"

namespace ktx::test {
namespace {

using ops::ActivationFormat;

const ops::MatmulKernel& few_tokens() noexcept {
  static const ops::MatmulKernel& kernel = *ops::find_matmul_kernel("avx512_vnni");
  return kernel;
}

template <const ops::TileUnit& Unit>
ops::MatmulKernel emulated_row(std::string_view name) noexcept {
  ops::MatmulKernel row = few_tokens();
  row.name = name;
  row.isa = hw::Isa::avx512_vbmi;
  row.run = [](const ops::MatmulArgs& args) noexcept {
    ops::is_tiles(args.x.format) ? ops::multiply_tiles(Unit, {&args, 1}) : few_tokens().run(args);
  };
  row.least_tile_tokens = ops::least_tokens_on_tiles;
  row.tile_format = [](quant::Format format, int64_t cols) noexcept {
    return ops::tile_format(Unit, format, cols).value_or(few_tokens().activation(format));
  };
  row.pack_tiles = [](ActivationFormat to, const ops::TilePackArgs& args) noexcept {
    ops::pack_tiles(Unit, to, args);
  };
  row.run_together = [](std::span<const ops::MatmulArgs> products) noexcept {
    ops::multiply_tiles(Unit, products);
  };
  return row;
}

ops::AttentionKernel emulated_attention_row() noexcept {
  ops::AttentionKernel row = *ops::find_attention_kernel("avx512");
  row.name = "amx_emulated";
  row.tiles = &x86_avx512_attention;
  return row;
}

}  // namespace

const ops::MatmulKernel& emulated_amx_kernel() noexcept {
  static const ops::MatmulKernel kernel = emulated_row<x86_avx512_vbmi_matmul>("amx_emulated");
  return kernel;
}

const ops::MatmulKernel& emulated_amx_bf16_kernel() noexcept {
  static const ops::MatmulKernel kernel =
      emulated_row<x86_avx512_vbmi_matmul_bf16>("amx_bf16_emulated");
  return kernel;
}

const ops::AttentionKernel& emulated_amx_attention() noexcept {
  static const ops::AttentionKernel kernel = emulated_attention_row();
  return kernel;
}

}  // namespace ktx::test
