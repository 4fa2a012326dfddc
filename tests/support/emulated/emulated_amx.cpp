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

ops::MatmulKernel emulated_row() noexcept {
  ops::MatmulKernel row = few_tokens();
  row.name = "amx_emulated";
  row.isa = hw::Isa::avx512_vbmi;
  row.run = [](const ops::MatmulArgs& args) noexcept {
    ops::is_tiles(args.x.format) ? ops::multiply_tiles(x86_avx512_vbmi_matmul, args)
                                 : few_tokens().run(args);
  };
  row.least_tile_tokens = ops::least_tokens_on_tiles;
  row.tile_format = [](quant::Format format, int64_t cols) noexcept {
    return ops::tile_format(x86_avx512_vbmi_matmul, format, cols)
        .value_or(few_tokens().activation(format));
  };
  row.pack_tiles = [](ActivationFormat to, const ops::TilePackArgs& args) noexcept {
    ops::pack_tiles(x86_avx512_vbmi_matmul, to, args);
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
  static const ops::MatmulKernel kernel = emulated_row();
  return kernel;
}

const ops::AttentionKernel& emulated_amx_attention() noexcept {
  static const ops::AttentionKernel kernel = emulated_attention_row();
  return kernel;
}

}  // namespace ktx::test
