// The table of attention kernels.
#include "ops/attention/attention.hpp"

namespace ktx::ops {
namespace {

using hw::Isa;

constexpr AttentionKernel table[] = {
    {"amx", Isa::amx_bf16, Isa::amx_int8, &f32::avx512_functions, &attention_amx},
    {"avx512_bf16", Isa::avx512_bf16, Isa::avx512_bf16, &f32::avx512_functions,
     &attention_avx512_bf16},
    {"avx512", Isa::avx512, Isa::avx512_bf16, &f32::avx512_functions},
    {"avx2", Isa::avx2, Isa::avx2, &f32::avx2_functions},
    {"ref", Isa::scalar, Isa::scalar, &f32::ref_functions},
};

}  // namespace

std::span<const AttentionKernel> attention_kernels() noexcept {
  return table;
}

const AttentionKernel* find_attention_kernel(std::string_view name) noexcept {
  for (const AttentionKernel& kernel : table)
    if (kernel.name == name) return &kernel;
  return nullptr;
}

const AttentionKernel& best_attention_kernel(hw::Isa isa) noexcept {
  for (const AttentionKernel& kernel : table)
    if (kernel.isa <= isa) return kernel;
  return attention_kernels().back();
}

}  // namespace ktx::ops
